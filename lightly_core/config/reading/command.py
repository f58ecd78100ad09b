"""Reads, merges and checks the settings of commands other than `lightly run`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from lightly_core.config.reading.merging import Layers
from lightly_core.config.reading.structure import structure
from lightly_core.errors import ConfigError

T = TypeVar("T")


@contextmanager
def loaded_options(
    cls: type[T],
    *,
    config_file: str | None = None,
    pairs: Sequence[str] = (),
    arguments: Mapping[str, object] | None = None,
    checks: Sequence[Callable[[T], Sequence[str]]] = (),
) -> Iterator[T]:
    """Read the settings of a command, for a ``with`` statement around all that uses them.

    The file overrides the defaults, ``key=value`` pairs override the file, and Python arguments
    override pairs. A ConfigError that is raised inside the ``with`` block names where the wrong
    setting was given, as those of this function do.

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
    with layers.named_in_errors():
        options = structure(layers.merged(cls), cls, path="config")
        problems = [problem for check in checks for problem in check(options)]
        if problems:
            raise ConfigError.of(problems)
        yield options
