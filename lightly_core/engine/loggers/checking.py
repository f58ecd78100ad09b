"""Checks that the loggers of a run can be used. No torch here."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from lightly_core.config.reading.load import Settings
from lightly_core.errors import ConfigError
from lightly_core.plugins.loading import load_target

if TYPE_CHECKING:
    from lightly_core.contracts import Logger


def require_loggers(settings: Settings) -> None:
    """Import the enabled loggers without building them, and let them check their options.

    Raises:
        ConfigError: Options cannot work on this machine.
        PluginError: A logger cannot be imported.
    """
    problems = []
    for name, record in settings.logger_records.items():
        logger_class = cast("type[Logger]", load_target(record))
        try:
            logger_class.check(settings.loggers[name])
        except ConfigError as error:
            problems += [f"config.loggers.{name}: {text}" for text in error.problems]
    if problems:
        raise ConfigError.of(problems)
