"""Settings of the commands that train nothing: read, merged and checked in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from lightly_core.config.keyvalue import parse_pairs, read_toml
from lightly_core.config.merging import Layers, from_python
from lightly_core.config.structure import structure
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

    Defaults are overruled by the file, that by ``key=value`` pairs, these by Python arguments.

    Args:
        cls: Option class of the command.
        config_file: A TOML file.
        pairs: Words of the form ``key=value``.
        arguments: Python arguments; only those that the caller gave.
        checks: Functions that look at the settings and return further problems.

    Raises:
        ConfigError: All that is wrong, one entry of `problems` for each mistake.
    """
    layers = Layers(
        {
            str(config_file): read_toml(config_file) if config_file is not None else {},
            "command line": parse_pairs(pairs),
            "Python": from_python(arguments or {}),
        }
    )
    options = structure(layers.merged(cls), cls, path="config")
    problems = [problem for check in checks for problem in check(options)]
    if problems:
        raise ConfigError.of(problems)
    return options
