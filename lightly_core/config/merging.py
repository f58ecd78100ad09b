"""Settings from several places, laid over one another."""

from __future__ import annotations

import numbers
import os
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

import attrs

from lightly_core.config.fields import aliases, group_class, settings_fields
from lightly_core.config.settings import PythonObject

#: Arguments that reach a library as they are; all others become plain data.
_AS_GIVEN = ("loader_args", "trainer_args", "model_args")
#: Arguments that may be an object of any class.
_OBJECTS = ("accelerator", "data", "model", "strategy", "val_data")


class Layers:
    """Settings by where they came from, the weakest first."""

    def __init__(self, by_origin: Mapping[str, Mapping[str, Any]]) -> None:
        self._by_origin = by_origin

    def merged(self, cls: type) -> dict[str, Any]:
        """Return all settings as nested dictionaries."""
        result: dict[str, Any] = {}
        for layer in self._by_origin.values():
            result = merge(result, layer, cls)
        return result

    def merged_group(self, name: str, cls: type | None) -> dict[str, Any]:
        """Return what was given for one group; empty where it is no dictionary."""
        result: dict[str, Any] = {}
        for layer in self._by_origin.values():
            group = layer.get(name, {})
            # None means the defaults, so it takes back what a weaker layer said.
            result = merge(result, group, cls) if isinstance(group, Mapping) else {}
        return result

    def origins(self) -> dict[str, str]:
        """Return where each given value came from, by dotted name."""
        return {
            name: origin
            for origin, layer in self._by_origin.items()
            for name in _dotted_names(layer, "")
        }


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


def _dotted_names(settings: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _dotted_names(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def from_python(arguments: Mapping[str, object]) -> dict[str, object]:
    """Turn paths into text and wrap what only Python can pass."""
    settings: dict[str, object] = {}
    for name, value in arguments.items():
        if name in _AS_GIVEN:
            settings[name] = value
        elif name == "model" and isinstance(value, PurePath):
            settings[name] = value.as_posix()  # a model's name has a slash on every system
        else:
            settings[name] = _as_data(value, keep_options=name not in _OBJECTS)
    return settings


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
