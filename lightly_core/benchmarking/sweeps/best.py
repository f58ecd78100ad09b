"""The best settings of a sweep, as words for the command line and as a TOML file."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightly_core.atomic import atomic_path
from lightly_core.benchmarking.sweeps.space import Values
from lightly_core.config.auto.secrets import without_secrets
from lightly_core.config.options.fields import Plain, plain, settings_fields
from lightly_core.config.options.settings import RunConfig
from lightly_core.config.reading.keyvalue import parse_value
from lightly_core.config.reading.load import Settings, load_settings
from lightly_core.config.reading.toml_text import flat_settings, toml_settings, toml_value
from lightly_core.errors import ConfigError, PluginError
from lightly_core.plugins.discovery import get_plugins

if TYPE_CHECKING:
    from lightly_core.benchmarking.suite import Row

#: Settings whose options are in `Settings` too, complete.
_GROUPS = ("callbacks", "loggers", "method_args", "optim_args", "transform_args")


def words(values: Values) -> str:
    """Return values as words for `lightly run`, quoted for a shell."""
    return shlex.join(f"{name}={word(value)}" for name, value in values.items())


def word(value: Plain) -> str:
    """Return a value as the right side of a ``key=value`` pair, see `parse_value`."""
    if isinstance(value, str):
        return value if parse_value(value) == value else toml_value(value)
    return "none" if value is None else toml_value(value)


def write_best(row: Row, note: str, path: Path) -> None:
    """Write the settings of a row's run for ``lightly run --config``, without `out`.

    Args:
        row: The row of the best trial.
        note: Comment at the top, one line.
        path: The file.
    """
    settings: dict[str, Any] = plain(without_secrets(row.run))
    for name in [name for name, value in flat_settings(settings) if value is None]:
        _replace_none(settings, name, row.settings)
    with atomic_path(path) as temporary:
        temporary.write_text(toml_of(settings, note), encoding="utf-8")


def toml_of(settings: Mapping[str, Any], note: str) -> str:
    """Return settings as TOML, a line for each."""
    return "\n".join([f"# {note}", *toml_settings(settings)]) + "\n"


def _replace_none(settings: dict[str, Any], name: Sequence[str], same: Settings) -> None:
    """Write None as TOML can: false for a group, "none" for a value, or not at all."""
    *groups, key = name
    inner = settings
    for group in groups:
        inner = inner[group]
    for instead in (False, "none"):
        inner[key] = instead
        try:
            found = load_settings(
                catalog=get_plugins().catalog, arguments={**settings, "out": same.run.out}
            )
        except (ConfigError, PluginError):
            continue
        if _meaning(found) == _meaning(same):
            return
    del inner[key]  # None is the default


def _meaning(settings: Settings) -> list[object]:
    """Return the options of settings, without the groups as they were given."""
    run = {
        field.name: getattr(settings.run, field.name)
        for field in settings_fields(RunConfig)
        if field.name not in _GROUPS
    }
    groups = (settings.method, settings.transform, settings.optimizer, settings.callbacks)
    return [run, *groups, settings.loggers]
