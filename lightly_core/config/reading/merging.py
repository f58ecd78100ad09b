"""Merges settings from a file, ``key=value`` pairs and Python arguments."""

from __future__ import annotations

import itertools
import numbers
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any

import attrs

from lightly_core.config.options.fields import aliases, group_class, settings_fields
from lightly_core.config.options.settings import PythonObject
from lightly_core.config.reading.origins import (
    ArgumentsOrigin,
    FileOrigin,
    Origin,
    WordsOrigin,
    sets,
)
from lightly_core.config.reading.toml_lines import KeyPath
from lightly_core.errors import ConfigError

#: Arguments that are passed to a library unchanged. All others are converted to plain data.
_AS_GIVEN = ("loader_args", "trainer_args", "model_args")
#: Arguments that may be an object of any class.
_OBJECTS = ("accelerator", "data", "model", "strategy", "val_data")
#: Most levels of nested dictionaries and lists. No settings need more.
_DEEPEST = 20
#: Start of a problem: the setting's full name, and the key in it that is unknown.
_SETTING = re.compile(
    r"(?:config|suite)(?P<name>(?:\.[\w-]+|\[\d+\])*)[^\s:]*"
    r"(?=: (?:unknown key '(?P<key>[^']+)')?)"
)
_PART = re.compile(r"\.([\w-]+)|\[(\d+)\]")


class Layers:
    """The given settings. Pairs override the file, and Python arguments override pairs.

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
        alone = config_file is None and not pairs
        none = ArgumentsOrigin({}, alone=True)
        self._origins: tuple[Origin, ...] = (
            FileOrigin(config_file) if config_file is not None else none,
            WordsOrigin(pairs),
            ArgumentsOrigin(from_python(arguments or {}), alone=alone),
        )

    def merged(self, cls: type) -> dict[str, Any]:
        """Return all settings as nested dictionaries."""
        result: dict[str, Any] = {}
        for origin in self._origins:
            result = merge(result, origin.settings, cls)
        return result

    def merged_group(self, name: str, cls: type | None) -> dict[str, Any]:
        """Return the given settings of one group. Empty if they are not a dictionary."""
        result: dict[str, Any] = {}
        for origin in self._origins:
            group = origin.settings.get(name, {})
            # None means the defaults, so it discards the values of earlier layers.
            result = merge(result, group, cls) if isinstance(group, Mapping) else {}
        return result

    @contextmanager
    def named_in_errors(self) -> Iterator[None]:
        """Name in a ConfigError that is raised inside where the wrong settings were given."""
        try:
            yield
        except ConfigError as error:
            problems = self.located(error.problems)
            if problems == list(error.problems):
                raise
            raise type(error).of(problems) from error

    def located(self, problems: Iterable[str], below: Sequence[KeyPath] = ((),)) -> list[str]:
        """Name in each problem where the setting was given.

        Args:
            problems: Each begins with the setting's name, such as ``config.epochs: ...``.
            below: Groups of these settings that may hold it, the strongest first, such as the rows
                of a suite. By default it is no member of a group.

        Returns:
            The problems, such as ``config.epochs (from run.toml, line 3): ...`` or
            ``config.epochs (from 'epochs=x'): ...``. A problem with a place stays as it is.
        """
        return [self._located(problem, below) for problem in problems]

    def _located(self, problem: str, below: Sequence[KeyPath]) -> str:
        found = _SETTING.match(problem)
        if found is None:
            return problem
        parts = _PART.findall(found["name"])
        keys: KeyPath = tuple(name or int(number) for name, number in parts)
        if found["key"]:
            keys = (*keys, found["key"])
        for origin, group in itertools.product(reversed(self._origins), below):
            if keys and sets(origin.settings, (*group, *keys)):
                place = origin.place((*group, *keys))
                return f"{found[0]} (from {place}){problem[found.end() :]}" if place else problem
        return problem


def merge(
    below: Mapping[str, Any], above: Mapping[str, Any], cls: type | None = None
) -> dict[str, Any]:
    """Merge two nested dictionaries. Values of `above` override those of `below`.

    Args:
        below: Settings that are overridden.
        above: Settings that override them.
        cls: Option class of both. A field's aliases name the same setting as the field.
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


def from_python(arguments: Mapping[str, object]) -> dict[str, object]:
    """Convert paths to strings and wrap objects that can be passed from Python only.

    Raises:
        ConfigError: A key is not a string, or a value is nested too deeply, such as one that
            contains itself.
    """
    settings: dict[str, object] = {}
    problems = [text for name, value in arguments.items() for text in _nesting(value, name)]
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


def _nesting(value: object, path: str, above: tuple[int, ...] = ()) -> Iterator[str]:
    """Yield the problems with keys that are not strings, and with values nested too deeply."""
    if id(value) in above or len(above) > _DEEPEST:
        what = "it contains itself" if id(value) in above else f"more than {_DEEPEST} levels"
        yield f"config.{'.'.join(path.split('.')[:3])}: nested too deeply ({what})"
    elif isinstance(value, Mapping):
        for key, member in value.items():
            if isinstance(key, str):
                yield from _nesting(member, f"{path}.{key}", (*above, id(value)))
            else:
                yield f"config.{path}: expected names as keys, got {key!r}"
    elif isinstance(value, (list, tuple)):
        for member in value:
            yield from itertools.islice(_nesting(member, path, (*above, id(value))), 1)


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
