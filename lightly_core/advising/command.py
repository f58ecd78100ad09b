"""Starts `lightly advise` from settings of the command line, of a file or of Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lightly_core.advising.report import Advice
from lightly_core.advising.settings import advise_problems, given_settings
from lightly_core.config.docs.pages import signature_of
from lightly_core.config.options.advise import AdviseConfig
from lightly_core.config.reading.child import refuse_in_child
from lightly_core.config.reading.command import loaded_options
from lightly_core.diagnosing.settings import unwritten_settings
from lightly_core.plugins.discovery import get_plugins
from lightly_core.terminal import terminal_width

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from lightly_core.config.docs.signature import AdviseSettings


def advise(**settings: Unpack[AdviseSettings]) -> Advice:
    """Say which method, size, batch and number of epochs to take for some images and this machine.

    Every argument is a setting of `docs/settings.md`, and `data` is required. Some training steps
    are measured, and nothing is written or downloaded. docs/advise.md explains the advice.

    Returns:
        Settings of a run, its time, and the measured runs that they rest on.

    Raises:
        ConfigError: Settings are wrong. The error names all mistakes, and nothing was measured.
        PluginError: A required plugin cannot be used.
        DataError: The images cannot be used.
    """
    refuse_in_child("advise")
    return advise_with(arguments=settings)


def advise_with(
    *,
    config_file: str | None = None,
    pairs: Sequence[str] = (),
    arguments: Mapping[str, object] | None = None,
) -> Advice:
    """Check the settings completely, then measure; see `advise`.

    Args:
        config_file: A TOML file.
        pairs: Words of the form ``key=value``.
        arguments: Python arguments; only those that the caller gave.
    """
    plugins = get_plugins()
    with loaded_options(
        AdviseConfig,
        config_file=config_file,
        pairs=pairs,
        arguments=arguments,
        checks=(lambda config: list(advise_problems(config)),),
    ) as config:
        given = given_settings(config, plugins.catalog)
        settings = unwritten_settings(given, plugins.catalog)
        from lightly_core.advising.run import advised
        from lightly_core.engine.logs import RunLogs
        from lightly_core.failures import explained

        with RunLogs(True, plugins.catalog.packages(), to_stderr=True), explained():
            return advised(config, given, settings, plugins.catalog)


def print_advice(config_file: str | None, pairs: Sequence[str], *, as_json: bool) -> None:
    """Run `lightly advise`: print the advice, wrapped to the width of a terminal, or as JSON."""
    advice = advise_with(config_file=config_file, pairs=pairs)
    if as_json:
        import json

        print(json.dumps(advice.as_dict(), indent=2))
        return
    print(advice.text(terminal_width()))


advise.__signature__ = signature_of(AdviseConfig)  # type: ignore[attr-defined]
