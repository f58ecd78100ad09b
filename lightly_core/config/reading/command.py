"""Reads, merges and checks the settings of commands other than `lightly run`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from lightly_core.config.reading.merging import Layers
from lightly_core.config.reading.structure import structure
from lightly_core.errors import ConfigError

T = TypeVar("T")


def load_options(
    cls: type[T],
    *,
    config_file: str | None = None,
    pairs: Sequence[str] = (),
    arguments: Mapping[str, object] | None = None,
    checks: Sequence[Callable[[T], Sequence[str]]] = (),
) -> T:
    """Read the settings of a command.

    The file overrides the defaults, ``key=value`` pairs override the file, and Python arguments
    override pairs.

    Args:
        cls: Option class of the command.
        config_file: A TOML file.
        pairs: Words of the form ``key=value``.
        arguments: Python arguments; only those that the caller gave.
        checks: Functions that check the settings and return further problems.

    Raises:
        ConfigError: The settings are wrong. `problems` has one entry for each mistake.
    """
    layers = Layers(config_file, pairs, arguments)
    try:
        options = structure(layers.merged(cls), cls, path="config")
    except ConfigError as error:
        raise ConfigError.of(layers.located(error.problems)) from None
    problems = [problem for check in checks for problem in check(options)]
    if problems:
        raise ConfigError.of(layers.located(problems))
    return options
