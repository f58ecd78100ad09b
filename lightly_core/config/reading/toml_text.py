"""Writes plain data as TOML, for files that `keyvalue.read_toml` reads.

The standard library reads TOML and does not write it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

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


def _table(values: Mapping[str, Plain], path: tuple[str, ...]) -> Iterator[str]:
    plain = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    tables = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    if path and (plain or not tables):
        yield ""
        yield f"[{'.'.join(map(_key, path))}]"
    for key, value in plain.items():
        yield f"{_key(key)} = {_value(value)}"
    for key, value in tables.items():
        yield from _table(value, (*path, key))


def _key(key: str) -> str:
    return key if _BARE_KEY.match(key) else _value(key)


def _value(value: Plain) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # TOML has the escapes of JSON, and also forbids the character DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_key(key)} = {_value(item)}' for key, item in value.items())}}}"
    raise ValueError(f"TOML has no {type(value).__name__}")
