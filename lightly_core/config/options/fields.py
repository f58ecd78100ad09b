"""Reads option classes: their fields, aliases and defaults, and the text for a type or a value."""

from __future__ import annotations

import numbers
import types
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias, Union, cast, get_args, get_origin

import attrs
from attrs import Attribute

from lightly_core.config.options.settings import PythonObject

#: A type annotation of a field; typing has no name for it.
Annotation: TypeAlias = Any
#: What JSON and TOML can hold.
Plain: TypeAlias = Any

UNION_ORIGINS = (Union, types.UnionType)
NO_DEFAULT = attrs.NOTHING


def settings_fields(cls: type) -> tuple[Attribute[Any], ...]:
    """Return the fields that can be set, their annotations resolved to types.

    Raises:
        NameError: An annotation names something that its module imports for type checkers only.
    """
    attrs.resolve_types(cls)
    return tuple(field for field in attrs.fields(cls) if field.init)


def aliases(field: Attribute[Any]) -> tuple[str, ...]:
    """Return the other names under which users may give a field."""
    return tuple(field.metadata.get("aliases", ()))


def canonical(field: Attribute[Any], value: object) -> object:
    """Return the value that another spelling of it means.

    The metadata of a field may have ``synonyms``, a mapping from other spellings to values, and
    ``any_case``: texts are taken without regard to case.
    """
    if isinstance(value, str) and field.metadata.get("any_case"):
        value = value.lower()
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return field.metadata.get("synonyms", {}).get(value, value)
    return value


def default_of(field: Attribute[Any]) -> object:
    """Return a field's default, or `NO_DEFAULT` where it must be given."""
    default: Any = field.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        # A factory that takes the instance has no default without one.
        return NO_DEFAULT if default.takes_self else default.factory()
    return default


def is_group(annotation: Annotation) -> bool:
    """Return whether a type is an option class."""
    return (
        isinstance(annotation, type)
        and attrs.has(annotation)
        and not issubclass(annotation, PythonObject)
    )


def group_class(annotation: Annotation) -> type | None:
    """Return the option class of a group, or None if the type is not a group.

    ``Group``, ``Group | None`` and ``Group | Literal["same"] | None`` are types of a group.
    """
    members = union_members(annotation)
    groups: list[type] = [member for member in members if is_group(member)]
    if len(groups) == 1 and all(
        member in (groups[0], types.NoneType) or get_origin(member) is Literal for member in members
    ):
        return groups[0]
    return None


def words_of(annotation: Annotation) -> list[Any]:
    """Return the literals in a type, such as ``"auto"`` in ``int | Literal["auto"]``."""
    literals = [member for member in union_members(annotation) if get_origin(member) is Literal]
    return [word for literal in literals for word in get_args(literal)]


def union_members(annotation: Annotation) -> tuple[Any, ...]:
    """Return the members of a union. Any other type is its own only member."""
    origin: Any = get_origin(annotation)
    if origin in UNION_ORIGINS:
        return get_args(annotation)
    return (annotation,)


def type_name(annotation: Annotation) -> str:
    """Return the text for a type in messages and tables, for example ``int or 'auto'``."""
    return any_of([name for member in union_members(annotation) for name in _names(member)])


def _names(annotation: Annotation) -> list[str]:
    origin: Any = get_origin(annotation)
    args = get_args(annotation)
    if origin is Literal:
        return [repr(value) for value in args]
    if annotation in (None, types.NoneType):
        return ["None"]
    if annotation is PythonObject:
        return ["a Python object"]
    if is_group(annotation) or dict in (annotation, origin):
        return ["dict"]
    if origin is tuple and len(args) == 2 and args[1] is ...:
        return [f"list of {type_name(args[0])}"]
    if origin is tuple:
        return [f"({', '.join(type_name(member) for member in args)})"]
    if origin is list:
        return [f"list of {type_name(args[0])}"]
    return ["anything" if annotation is Any else getattr(annotation, "__name__", str(annotation))]


def any_of(names: Iterable[str]) -> str:
    """Join names as in ``a, b or c``."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def value_name(value: object) -> str:
    """Return the text for a value and its type in messages, at most 60 characters of the value."""
    if value is None:
        return "None"
    if isinstance(value, PythonObject):
        return str(value)
    text = repr(value)
    if len(text) > 60:
        text = text[:57] + "..."
    return f"{text} ({type(value).__name__})"


def plain(value: object) -> Plain:
    """Convert settings to data that JSON can hold. Python objects become their description."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        number = float(value)
        # JSON has no infinities and no nan.
        return number if abs(number) < float("inf") else str(number)
    if isinstance(value, PythonObject):
        return str(value)
    if attrs.has(type(value)):
        fields = attrs.fields(cast("type[attrs.AttrsInstance]", type(value)))
        return {field.name: plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, dict):
        return {str(key): plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(member) for member in value]
    if hasattr(value, "__fspath__"):
        return str(value)
    return str(PythonObject(value))
