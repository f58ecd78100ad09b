"""Writes settings as TOML, one line for each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lightly_core.config.options.fields import Plain

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def toml_settings(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each setting. Dots in a key are for nested groups.

    Args:
        settings: Plain data. There is no None in it, which TOML cannot hold.
    """
    for name, value in flat_settings(settings):
        yield f"{'.'.join(_key(part) for part in name)} = {toml_value(value)}"


def flat_settings(
    settings: Mapping[str, Any], above: Sequence[str] = ()
) -> Iterator[tuple[Sequence[str], Plain]]:
    """Yield the keys and the value of each setting. An empty group is a value."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flat_settings(value, (*above, str(key)))
        else:
            yield (*above, str(key)), value


def toml_value(value: Plain) -> str:
    """Return a value other than None in TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        members = (f"{_key(str(key))} = {toml_value(member)}" for key, member in value.items())
        return f"{{ {', '.join(members)} }}"
    return f"[{', '.join(toml_value(member) for member in value)}]"


def _key(text: str) -> str:
    return text if _BARE_KEY.fullmatch(text) else json.dumps(text)
