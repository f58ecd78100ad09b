"""Imports the targets of records. No other module imports them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import cast

from lightly_core.errors import PluginError
from lightly_core.plugins.records import ConfiguredRecord, LauncherRecord, Record, SourceRecord
from lightly_core.plugins.requirements import missing


def load_target(record: Record) -> object:
    """Import the target of a record. This may import torch.

    Raises:
        PluginError: A requirement is missing, or the import fails.
    """
    check_requirements(record)
    return _load(record, record.target, "target")


def load_config(record: ConfiguredRecord) -> type:
    """Import the option class of a record. This imports no torch.

    Raises:
        PluginError: The import fails, or the result is not a class.
    """
    loaded = _load(record, record.config, "config")
    if not isinstance(loaded, type):
        raise PluginError(
            f"config of {record.label} of {record.owner}: expected a class at {record.config}, "
            f"got {loaded!r}"
        )
    return loaded


def load_check(record: SourceRecord | LauncherRecord) -> Callable[..., list[str]]:
    """Import the function that checks what a user asks for. This imports nothing heavy.

    Raises:
        PluginError: A requirement is missing, or the import fails.
    """
    check_requirements(record)
    if record.check is None:
        return lambda *_: []
    return cast("Callable[..., list[str]]", _load(record, record.check, "check"))


def missing_requirements(record: Record) -> tuple[str, ...]:
    """Return the requirements of a record that are not met by the installed packages."""
    return tuple(requirement for requirement, _ in missing(record.requires))


def check_requirements(record: Record) -> None:
    """Check that the packages which a record requires are installed.

    Raises:
        PluginError: One is missing, or too old.
    """
    lacking = missing(record.requires)
    if not lacking:
        return
    needed = " and ".join(
        f"{requirement}, which is not installed"
        if version is None
        else f"{requirement}, but {version} is installed"
        for requirement, version in lacking
    )
    install = " ".join(f"'{requirement}'" for requirement, _ in lacking)
    raise PluginError(f"{record.label} needs {needed}\n  pip install {install}")


def _load(record: Record, import_string: str, what: str) -> object:
    module_name, _, attribute = import_string.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{what} {import_string} of {record.label} cannot be imported"
            f"\n  {type(error).__name__}: {error}"
            f"\n  reinstall {record.owner}, or report this to its authors"
        ) from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise PluginError(
            f"{what} {import_string} of {record.label}: '{module_name}' has no '{attribute}'"
            f"\n  report this to the authors of {record.owner}"
        ) from None
