"""Generates help texts for the terminal, and tables for the pages in `docs`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import Attribute, define

from lightly_core.config.options.fields import (
    NO_DEFAULT,
    aliases,
    default_of,
    group_class,
    is_group,
    settings_fields,
    type_name,
)
from lightly_core.config.options.settings import RunConfig
from lightly_core.terminal import fold, prose_width

_REQUIRED = "required"


@define(frozen=True)
class Row:
    """Name, type, default and help of one setting, as text."""

    name: str
    type: str
    default: str
    help: str


def settings_help() -> str:
    """Return the help of all settings, for the terminal."""
    return class_help(RunConfig)


def class_help(cls_or_instance: object, prefix: str = "") -> str:
    """Return the help of an option class with its nested groups, as wide as the terminal.

    Args:
        cls_or_instance: Option class, or an instance whose values are shown as the defaults.
        prefix: Prefix of each name, for example ``method_args``.
    """
    width = prose_width()
    lines = []
    for row in rows(cls_or_instance, prefix):
        default = row.default if row.default == _REQUIRED else f"default {row.default}"
        head = f"{row.name} ({row.type}{f', {default}' if row.default else ''})"
        lines += fold(head, width, first="  ", rest="      ")
        lines += fold(row.help, width, first="      ", rest="      ")
    return "\n".join(lines)


def class_table(cls_or_instance: object, prefix: str = "") -> str:
    """Return the Markdown table of an option class. The arguments are those of `class_help`."""
    lines = ["| Name | Type | Default | Description |", "|---|---|---|---|"]
    for row in rows(cls_or_instance, prefix):
        default = row.default if row.default in ("", _REQUIRED) else f"`{row.default}`"
        cells = (f"`{row.name}`", row.type, default, row.help)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


def rows(cls_or_instance: object, prefix: str) -> Iterator[Row]:
    """Yield a row for each setting, groups before their members; arguments as in `class_help`."""
    cls = cls_or_instance if isinstance(cls_or_instance, type) else type(cls_or_instance)
    for field in settings_fields(cls):
        name = f"{prefix}.{field.name}" if prefix else field.name
        if cls_or_instance is cls:
            value = default_of(field)
        else:
            value = getattr(cls_or_instance, field.name)
        group = group_class(field.type)
        yield Row(name, type_name(field.type), _default(field, value), _help(field))
        if group is not None:
            yield from rows(value if isinstance(value, group) else group, name)


def _help(field: Attribute[Any]) -> str:
    others = aliases(field)
    text = str(field.metadata.get("help", ""))
    return f"{text}; other names: {', '.join(others)}" if others else text


def _default(field: Attribute[Any], value: object) -> str:
    if value is NO_DEFAULT:
        return _REQUIRED
    if group_class(field.type) is None:
        return _shown(value)
    if is_group(field.type):
        return ""  # its members follow, and it cannot be switched off
    if isinstance(value, str):
        return value
    return "off" if value is None else "on"


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(_shown(member) for member in value)}]"
    return '""' if value == "" else str(value)
