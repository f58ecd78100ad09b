"""Settings from several places, laid over one another."""

from __future__ import annotations

import itertools
import numbers
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import attrs

from lightly_core.config.options.fields import aliases, group_class, settings_fields
from lightly_core.config.options.settings import PythonObject
from lightly_core.config.reading.keyvalue import parse_pairs, read_toml
from lightly_core.errors import ConfigError

#: Arguments that reach a library as they are; all others become plain data.
_AS_GIVEN = ("loader_args", "trainer_args", "model_args")
#: Arguments that may be an object of any class.
_OBJECTS = ("accelerator", "data", "model", "strategy", "val_data")
#: Levels of dictionaries and lists that no settings need.
_DEEPEST = 20
#: How a problem begins: the setting's full name, and the key in it that is unknown.
_SETTING = re.compile(r"config(?P<name>(?:\.\w+)*)[^\s:]*(?=: (?:unknown key '(?P<key>\w+)')?)")


class Layers:
    """The settings that were given: a file, overruled by pairs, overruled by Python arguments.

    Args:
        config_file: A TOML file.
        pairs: Words of the form ``key=value``.
        arguments: Python arguments; only those that the caller gave.

    Raises:
        ConfigError: The file or a pair cannot be read.
    """

    def __init__(
        self,
        config_file: str | None = None,
        pairs: Sequence[str] = (),
        arguments: Mapping[str, object] | None = None,
    ) -> None:
        self._config_file = config_file
        self._layers: tuple[Mapping[str, Any], ...] = (
            read_toml(config_file) if config_file is not None else {},
            parse_pairs(pairs),
            from_python(arguments or {}),
        )

    def merged(self, cls: type) -> dict[str, Any]:
        """Return all settings as nested dictionaries."""
        result: dict[str, Any] = {}
        for layer in self._layers:
            result = merge(result, layer, cls)
        return result

    def merged_group(self, name: str, cls: type | None) -> dict[str, Any]:
        """Return what was given for one group; empty where it is no dictionary."""
        result: dict[str, Any] = {}
        for layer in self._layers:
            group = layer.get(name, {})
            # None means the defaults, so it takes back what a weaker layer said.
            result = merge(result, group, cls) if isinstance(group, Mapping) else {}
        return result

    def located(self, problems: Iterable[str]) -> list[str]:
        """Name the file in each problem with a value that is from it.

        Values of the command line and of Python are in the user's sight, those of a file are not.

        Args:
            problems: Each begins with the setting's name, such as ``config.epochs: ...``.

        Returns:
            The same, with such beginnings as ``config.epochs (from run.toml): ...``.
        """
        return [self._located(problem) for problem in problems]

    def _located(self, problem: str) -> str:
        found = _SETTING.match(problem)
        if found is None:
            return problem
        keys = [key for key in (*found["name"].split("."), found["key"]) if key]
        strongest = [number for number, layer in enumerate(self._layers) if _sets(layer, keys)]
        if strongest[-1:] != [0]:
            return problem
        return f"{found[0]} (from {self._config_file}){problem[found.end() :]}"


def merge(
    below: Mapping[str, Any], above: Mapping[str, Any], cls: type | None = None
) -> dict[str, Any]:
    """Lay one nested dictionary over another.

    Args:
        below: The weaker one.
        above: The stronger one.
        cls: Option class that both describe; a field's other names count as the field.
    """
    fields = settings_fields(cls) if cls is not None else ()
    by_name = {name: field for field in fields for name in (field.name, *aliases(field))}
    result = dict(below)
    for key, value in above.items():
        old, inner = result.get(key), None
        if key in by_name:
            field = by_name[key]
            inner = group_class(field.type)
            for other in {field.name, *aliases(field)} - above.keys():
                old = result.pop(other, old)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = merge(old, value, inner)
        result[key] = value
    return result


def _sets(settings: Mapping[str, Any], keys: Sequence[str]) -> bool:
    """Tell whether settings have a value under these keys, or in place of one of their groups."""
    value: Any = settings
    for key in keys:
        if not isinstance(value, Mapping):
            return True
        if key not in value:
            return False
        value = value[key]
    return bool(keys)


def from_python(arguments: Mapping[str, object]) -> dict[str, object]:
    """Turn paths into text and wrap what only Python can pass.

    Raises:
        ConfigError: A key is no text, or a value is nested too deeply, such as one that holds
            itself.
    """
    settings: dict[str, object] = {}
    problems = [text for name, value in arguments.items() for text in _odd(value, name)]
    if problems:
        raise ConfigError.of(problems)
    for name, value in arguments.items():
        if name in _AS_GIVEN:
            settings[name] = value
        elif name == "model" and isinstance(value, PurePath):
            settings[name] = value.as_posix()  # a model's name has a slash on every system
        else:
            settings[name] = _as_data(value, keep_options=name not in _OBJECTS)
    return settings


def _odd(value: object, path: str, above: tuple[int, ...] = ()) -> Iterator[str]:
    """Name keys that are no text, and what is nested too deeply to be settings."""
    if id(value) in above or len(above) > _DEEPEST:
        what = "it holds itself" if id(value) in above else f"more than {_DEEPEST} levels"
        yield f"config.{'.'.join(path.split('.')[:3])}: nested too deeply ({what})"
    elif isinstance(value, Mapping):
        for key, member in value.items():
            if isinstance(key, str):
                yield from _odd(member, f"{path}.{key}", (*above, id(value)))
            else:
                yield f"config.{path}: expected names as keys, got {key!r}"
    elif isinstance(value, (list, tuple)):
        for member in value:
            yield from itertools.islice(_odd(member, path, (*above, id(value))), 1)


def _as_data(value: object, *, keep_options: bool) -> object:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {key: _as_data(member, keep_options=keep_options) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_data(member, keep_options=keep_options) for member in value]
    data = (str, bytes, numbers.Number, set, frozenset, PythonObject)
    if value is None or isinstance(value, data) or (keep_options and attrs.has(type(value))):
        return value
    return PythonObject(value)
