"""Recognises settings files in YAML and JSON, and writes their settings in TOML."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lightly_core.config.options.fields import Plain
from lightly_core.config.reading.toml_text import flat_settings, toml_settings

#: Endings of files by the name of their format.
FORMATS = {".yaml": "YAML", ".yml": "YAML", ".json": "JSON"}
#: Most lines of TOML in a message.
_MOST_LINES = 60
#: A number that YAML 1.1 reads as text, as it has no point or no sign.
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


def foreign_file(text: str, path: str | Path) -> str | None:
    """Return the error text for a file in YAML or JSON, with its settings in TOML.

    Args:
        text: Text of the file, which is not valid TOML.
        path: The file.

    Returns:
        None if the file is neither: it has another ending, and is no mapping in JSON.
    """
    kind = FORMATS.get(Path(path).suffix.lower())
    settings = _settings(json.loads, text)
    if settings is not None:
        kind = "JSON"
    elif kind == "YAML":
        settings = _settings(_load_yaml, text)
    if kind is None:
        return None
    said = f"the config file '{path}' is {kind}; settings are read from TOML"
    if settings is None:
        return f"{said}\n  write key = value, and [GROUP] above the settings of a group"
    lines = list(_as_toml(settings))
    more = len(lines) - _MOST_LINES
    shown = [*lines[:_MOST_LINES], f"# and {more} more lines"] if more > 0 else lines
    return "\n".join([f"{said}. The same settings in TOML:", "", *shown])


def _settings(read: Callable[[str], object], text: str) -> Mapping[str, Any] | None:
    """Return the settings in a text; None: it cannot be read, or is no mapping."""
    try:
        found = read(text)
    except Exception:  # of any parser
        return None
    return found if isinstance(found, Mapping) else None


def _load_yaml(text: str) -> object:
    # Lightning requires PyYAML. It is imported for this message only.
    return importlib.import_module("yaml").safe_load(text)


def _as_toml(settings: Mapping[str, Any]) -> Iterator[str]:
    plain = _plain(settings)
    assert isinstance(plain, dict)
    yield from toml_settings(plain)
    for name, value in flat_settings(settings):
        if value is None:
            yield f'# {".".join(name)} is null: write false to switch a group off, else "none"'


def _plain(value: object) -> Plain:
    """Return data without null. Dates become texts, numbers in texts become numbers."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value if entry is not None]
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    return value if isinstance(value, (bool, int, float, str)) else str(value)
