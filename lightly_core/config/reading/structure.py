"""Converts plain data to option classes. Types are strict, and one error names all mistakes.

Only this module imports cattrs. Commands that read no settings do not import it.
"""

from __future__ import annotations

import functools
import numbers
import re
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

import attrs
from attrs import AttrsInstance, define
from cattrs import Converter

from lightly_core.config.options.fields import (
    NO_DEFAULT,
    UNION_ORIGINS,
    Annotation,
    aliases,
    canonical,
    default_of,
    group_class,
    plain,
    settings_fields,
    type_name,
    union_members,
    value_name,
    words_of,
)
from lightly_core.config.options.foreign import foreign_keys
from lightly_core.config.options.settings import PythonObject
from lightly_core.errors import ConfigError, did_you_mean

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]


def structure(value: Mapping[str, Any], cls: type[T], *, path: str, base: T | None = None) -> T:
    """Create an instance of an option class.

    Types must match. Only an int for a float and a list for a tuple are converted. For the type
    ``Group | None``, ``None`` and ``False`` switch the group off, and ``True`` switches it on with
    the values of `base`. Literals in the type are accepted too; a dictionary replaces them. TOML
    has no null: it can write ``seed = "none"`` if the type allows None and no free text.

    Args:
        value: Settings by name. Those of a nested group are a mapping.
        cls: An attrs class.
        path: Full name of these settings, for messages.
        base: Values of all settings that `value` does not name, recursively. None: the defaults
            of `cls`.

    Raises:
        ConfigError: The settings are wrong. `problems` has one entry for each mistake.
    """
    try:
        instance: T = _converter().structure(_Layer(value, base), cls)
    except _WrongValue as wrong:
        raise ConfigError.of([f"{path}{place}: {text}" for place, text in wrong.found]) from None
    return instance


def unstructure(instance: AttrsInstance) -> dict[str, Any]:
    """Return the settings as plain JSON data. A Python object becomes its description."""
    data: dict[str, Any] = plain(instance)
    return data


class _WrongValue(Exception):
    """Mistakes in a value, raised by the hooks and collected by `structure`.

    Args:
        found: Pairs of the path from the value (``.lr``, ``[0]``) and the text.
        inside: Whether the value has the right kind, and only its members are wrong.
    """

    def __init__(self, found: list[tuple[str, str]], *, inside: bool = False) -> None:
        super().__init__(found)
        self.found = found
        self.inside = inside

    def below(self, place: str) -> list[tuple[str, str]]:
        """Return the mistakes with paths that start one level higher, with `place`."""
        return [(place + inner, text) for inner, text in self.found]


@define(frozen=True)
class _Layer:
    """Given settings, and the instance whose values they override."""

    given: object
    base: object


def _unexpected(annotation: Annotation, value: object) -> _WrongValue:
    text = f"expected {type_name(annotation)}, got {value_name(value)}"
    hint = did_you_mean(value, words_of(annotation)) if isinstance(value, str) else ""
    return _WrongValue([("", f"{text}, {hint}" if hint else text)])


@functools.cache
def _converter() -> Converter:
    """Build the converter. cattrs selects a hook by type, and the hooks are strict."""
    converter = Converter(detailed_validation=False)
    converter.register_structure_hook(int, _int)
    converter.register_structure_hook(float, _float)
    converter.register_structure_hook(bool, _instance_of(bool))
    converter.register_structure_hook(str, _instance_of(str))
    converter.register_structure_hook(types.NoneType, _instance_of(types.NoneType))
    # cattrs tries the hook that was registered last first, so the general ones are first here.
    for accepts, make in (
        (_has_origin(Literal), _literal_hook),
        (_has_origin(dict), _dict_hook),
        (_has_origin(list), _list_hook),
        (_has_origin(tuple), _tuple_hook),
        (_has_origin(*UNION_ORIGINS), _union_hook),
        (_holds_group, _group_hook),
    ):
        converter.register_structure_hook_factory(accepts, functools.partial(make, converter))
    converter.register_structure_hook(PythonObject, _instance_of(PythonObject))
    return converter


def _has_origin(*origins: object) -> Callable[[Any], bool]:
    return lambda cls: get_origin(cls) in origins or cls in origins


def _holds_group(cls: Annotation) -> bool:
    return group_class(cls) is not None


# --------------------------------------------------------------------------- single values


def _int(value: object, cls: type) -> int:
    # NumPy's integers are accepted. A bool is an int in Python, but not to users.
    if not isinstance(value, bool) and isinstance(value, numbers.Integral):
        return int(value)
    raise _unexpected(cls, value)


def _float(value: object, cls: type) -> float:
    if not isinstance(value, bool) and isinstance(value, numbers.Real):
        try:
            return float(value)
        except OverflowError:
            pass
    raise _unexpected(cls, value)


def _instance_of(kind: type) -> Hook:
    def hook(value: object, cls: type) -> object:
        if isinstance(value, kind):
            return value
        raise _unexpected(cls, value)

    return hook


def _literal_hook(converter: Converter, cls: Annotation) -> Hook:
    words = get_args(cls)

    def hook(value: object, _: object) -> object:
        if value is None and "none" in words:
            return "none"  # the command line reads this word as None
        if any(type(value) is type(word) and value == word for word in words):
            return value
        raise _unexpected(cls, value)

    return hook


# --------------------------------------------------------------------------- collections


def _dict_hook(converter: Converter, cls: Annotation) -> Hook:
    kinds = get_args(cls)

    def hook(value: object, _: object) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise _unexpected(cls, value)
        wrong = [
            ("", f"keys must be str, got {value_name(k)}") for k in value if type(k) is not str
        ]
        if wrong:
            raise _WrongValue(wrong, inside=True)
        if not kinds:
            return dict(value)
        places = [(f".{key}", member, kinds[1]) for key, member in value.items()]
        return dict(zip(value, _each(converter, places), strict=True))

    return hook


def _list_hook(converter: Converter, cls: Annotation) -> Hook:
    (kind,) = get_args(cls)

    def hook(value: object, _: object) -> list[Any]:
        if not isinstance(value, (list, tuple)):
            raise _unexpected(cls, value)
        return _each(converter, [(f"[{i}]", member, kind) for i, member in enumerate(value)])

    return hook


def _tuple_hook(converter: Converter, cls: Annotation) -> Hook:
    kinds = get_args(cls)
    any_length = len(kinds) == 2 and kinds[1] is ...

    def hook(value: object, _: object) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            raise _unexpected(cls, value)
        expected = kinds[:1] * len(value) if any_length else kinds
        if len(value) != len(expected):
            text = f"expected {len(expected)} values, got {len(value)}: {value_name(value)}"
            raise _WrongValue([("", text)], inside=True)
        members = enumerate(zip(value, expected, strict=True))
        return tuple(_each(converter, [(f"[{i}]", member, kind) for i, (member, kind) in members]))

    return hook


def _each(converter: Converter, places: Iterable[tuple[str, object, Any]]) -> list[Any]:
    results, wrong = [], []
    for place, value, kind in places:
        try:
            results.append(converter.structure(value, kind))
        except _WrongValue as error:
            wrong += error.below(place)
    if wrong:
        raise _WrongValue(wrong, inside=True)
    return results


def _union_hook(converter: Converter, cls: Annotation) -> Hook:
    members = union_members(cls)
    text_is_none = types.NoneType in members and str not in members

    def hook(value: object, _: object) -> object:
        inside = []
        for member in members:
            try:
                return converter.structure(value, member)
            except _WrongValue as wrong:
                if wrong.inside:
                    inside.append(wrong)
        if text_is_none and value in ("none", "null"):
            return None
        raise inside[0] if inside else _unexpected(cls, value)

    return hook


# --------------------------------------------------------------------------- option classes


def _group_hook(converter: Converter, annotation: Annotation) -> Hook:
    cls = group_class(annotation)
    assert cls is not None  # the hook is registered for these types only
    optional = types.NoneType in union_members(annotation)
    words = words_of(annotation)

    def hook(value: object, _: object) -> object:
        layer = value if isinstance(value, _Layer) else _Layer(value, None)
        given = layer.given
        if isinstance(given, cls) or (isinstance(given, str) and given in words):
            return given
        if optional and (given is None or given is False):
            return None
        if optional and given is True:
            given = {}
        if not isinstance(given, Mapping):
            raise _unexpected(annotation, given)
        # A base that is a word has no values to override.
        return _build(converter, cls, given, None if layer.base in words else layer.base)

    return hook


def _build(converter: Converter, cls: type, given: Mapping[str, Any], base: object) -> object:
    values: dict[str, Any] = {}
    wrong = _unknown_keys(cls, given)
    for field in settings_fields(cls):
        under = default_of(field) if base is None else getattr(base, field.name)
        names = [name for name in (field.name, *aliases(field)) if name in given]
        if len(names) > 1:
            both = " and ".join(f"'{name}'" for name in names)
            wrong.append(("", f"{both} are names of the same setting, give only one of them"))
        elif names:
            value = canonical(field, given[names[0]])
            if group_class(field.type) is not None:
                value = _Layer(value, None if under is NO_DEFAULT else under)
            try:
                values[field.name] = converter.structure(value, field.type or Any)
            except _WrongValue as error:
                wrong += error.below(f".{names[0]}")
        elif under is not NO_DEFAULT:
            values[field.name] = under
        elif field.default is NO_DEFAULT:
            wrong.append((f".{field.name}", "required, but missing"))
    wrong += _out_of_range(cls, values)
    if wrong:
        raise _WrongValue(wrong, inside=True)
    try:
        return cls(**{_argument(cls, name): value for name, value in values.items()})
    except (ValueError, TypeError) as error:
        raise _WrongValue([("", _message(error))], inside=True) from None


def _argument(cls: type, name: str) -> str:
    return str(getattr(attrs.fields(cls), name).alias)


def _unknown_keys(cls: type, given: Mapping[str, Any]) -> list[tuple[str, str]]:
    known = [name for field in settings_fields(cls) for name in (field.name, *aliases(field))]
    foreign = foreign_keys(cls)
    wrong = []
    for key in given:
        if key in known:
            continue
        if key in foreign:
            if not foreign[key].accepts(given[key]):
                wrong.append(("", f"unknown key '{key}': {foreign[key].reason}"))
            continue
        meant = did_you_mean(str(key), known)
        hint = (
            f", {meant}"
            if meant
            else f"; known: {', '.join(known)}"
            if known
            else "; it has no settings"
        )
        wrong.append(("", f"unknown key '{key}'{hint}"))
    return wrong


def _out_of_range(cls: type, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Run every field's validator. attrs itself stops at the first that fails."""
    # Validators take an instance. One created without __init__ has the values that they need.
    instance: object = object.__new__(cls)
    for name, value in values.items():
        object.__setattr__(instance, name, value)
    wrong = []
    for field in settings_fields(cls):
        if field.validator is None or field.name not in values:
            continue
        try:
            field.validator(instance, field, values[field.name])
        except (ValueError, TypeError) as error:
            text = _message(error).removeprefix(f"'{field.name}' ")
            wrong.append((f".{field.name}", text))
    return wrong


def _message(error: Exception) -> str:
    """Return a validator's message. Those of attrs write ": VALUE", ours write ", got VALUE"."""
    text = str(error.args[0]) if error.args else str(error)
    return re.sub(r"^('\w+' must be [<>]=? \S+): (.*)$", r"\1, got \2", text, flags=re.DOTALL)
