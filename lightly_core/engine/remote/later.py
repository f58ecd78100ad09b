"""Send what an ended run could not send."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from lightly_core.config.reading.structure import structure
from lightly_core.engine.lock import held
from lightly_core.engine.remote.logger import RemoteLogger
from lightly_core.engine.remote.outbox import Outbox, unsent_loggers
from lightly_core.engine.remote.sender import Sender
from lightly_core.errors import ConfigError, PluginError
from lightly_core.plugins.catalog import Catalog
from lightly_core.plugins.loading import load_config, load_target


@frozen(kw_only=True)
class SendResult:
    """What was sent for one logger of one run.

    Attributes:
        folder: The run folder.
        logger: Name of the logger.
        address: Where the records went.
        num_sent: Records that were sent.
        num_unsent: Records that are still in the file.
        failure: Why the rest was not sent; empty if the server accepted or refused everything.
    """

    folder: Path
    logger: str
    address: str
    num_sent: int
    num_unsent: int
    failure: str = ""


def send_unsent(
    folder: Path, catalog: Catalog, options: Mapping[str, Any] | None = None
) -> Iterator[SendResult]:
    """Send the unsent records in a run folder. Sending twice changes nothing.

    Args:
        folder: Folder of a run that has ended.
        catalog: What the plugins provide.
        options: Options by logger that replace those of the run. A run stores no passwords, so an
            address with one must be given again, or the password by the library's own variables.

    Yields:
        One result for each logger with unsent records.

    Raises:
        ConfigError: The folder does not exist, a run is using it, or options are wrong.
        PluginError: The logger's plugin is not installed or cannot be used.
    """
    if not folder.is_dir():
        raise ConfigError(f"'{folder}' is not a folder; give the setting `out` of a run")
    with held(folder, ConfigError):
        for name in unsent_loggers(folder):
            yield _send(folder, name, catalog, (options or {}).get(name) or {})


def _send(folder: Path, name: str, catalog: Catalog, changes: Mapping[str, Any]) -> SendResult:
    record = catalog.get("logger", name)
    cls = load_target(record)
    if not (isinstance(cls, type) and issubclass(cls, RemoteLogger)):
        raise PluginError(
            f"logger '{name}' of {record.owner} cannot send later, as it is no RemoteLogger"
        )
    outbox = Outbox(folder, name)
    outbox.continue_old()
    stored = outbox.state.get("options")
    given = {**(stored if isinstance(stored, dict) else {}), **changes}
    config: Any = structure(given, load_config(record), path=f"config.loggers.{name}")
    cls.check(config)
    destination = cls.make_destination(config, folder)
    sender = Sender(name, outbox, destination)
    total = outbox.num_waiting
    try:
        sender.send_all()
    finally:
        destination.close()
        num_unsent = outbox.close()
    return SendResult(
        folder=folder,
        logger=name,
        address=destination.address,
        num_sent=total - num_unsent,
        num_unsent=num_unsent,
        failure=sender.failure,
    )
