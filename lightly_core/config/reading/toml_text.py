"""Writes plain data as TOML, for files that `keyvalue.read_toml` reads.

The standard library reads TOML and does not write it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lightly_core.config.options.fields import Plain

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z", re.ASCII)


def toml_text(values: Mapping[str, Plain]) -> str:
    """Return nested plain data as TOML; nested mappings become tables.

    Args:
        values: Texts, numbers, booleans, lists and mappings. A text must be valid Unicode.

    Raises:
        ValueError: A value is None, which TOML lacks, or of another type.
    """
    return "\n".join(_table(values, ())) + "\n"


def toml_settings(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each setting. Dots in a key are for nested groups.

    Args:
        settings: Plain data. There is no None in it, which TOML cannot hold.
    """
    for name, value in flat_settings(settings):
        yield f"{'.'.join(map(toml_key, name))} = {toml_value(value)}"


def flat_settings(
    settings: Mapping[str, Any], above: Sequence[str] = ()
) -> Iterator[tuple[Sequence[str], Plain]]:
    """Yield the keys and the value of each setting. An empty group is a value."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flat_settings(value, (*above, str(key)))
        else:
            yield (*above, str(key)), value


def _table(values: Mapping[str, Plain], path: tuple[str, ...]) -> Iterator[str]:
    plain = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    tables = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    if path and (plain or not tables):
        yield ""
        yield f"[{'.'.join(map(toml_key, path))}]"
    for key, value in plain.items():
        yield f"{toml_key(key)} = {toml_value(value)}"
    for key, value in tables.items():
        yield from _table(value, (*path, key))


def toml_key(key: str) -> str:
    """Return a key, in quotes if it needs them."""
    return key if _BARE_KEY.match(key) else toml_value(key)


def toml_value(value: Plain) -> str:
    """Return a value on one line; a mapping becomes an inline table.

    Raises:
        ValueError: A value is None, which TOML lacks, or of another type.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # TOML has the escapes of JSON, and also forbids the character DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, Mapping):
        members = (f"{toml_key(key)} = {toml_value(member)}" for key, member in value.items())
        return f"{{ {', '.join(members)} }}"
    raise ValueError(f"TOML has no {type(value).__name__}")
