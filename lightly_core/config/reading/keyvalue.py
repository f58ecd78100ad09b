"""Reads settings from text: ``key=value`` on the command line, and TOML files."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightly_core.config.options.fields import Plain
from lightly_core.config.reading.foreign_files import foreign_file
from lightly_core.config.reading.toml_parser import tomllib
from lightly_core.errors import ConfigError

_WORDS = {
    "none": None,
    "None": None,
    "null": None,
    "True": True,
    "False": False,
}


def parse_pairs(tokens: Sequence[str]) -> dict[str, Any]:
    """Read ``key=value`` words. Dots in a key create nested dictionaries.

    A value is read as TOML (``10``, ``1e-3``, ``true``, ``[0, 1]``, ``{a = 1}``). Text that is not
    valid TOML stays a string, so paths and names need no quotes. ``none`` and ``null`` mean None.
    ``True``, ``False`` and ``None`` may be written as in Python. Dates and times stay strings. A
    word is split at its first ``=``.

    Raises:
        ConfigError: A word is not a pair, or two pairs set the same key.
    """
    settings: dict[str, Any] = {}
    problems = []
    for token in tokens:
        key, equals, text = token.partition("=")
        path = [part.strip() for part in key.split(".")]
        if not equals or not all(path):
            problems.append(f"expected key=value, got '{token}'")
            continue
        if key.startswith("-"):
            right = token.lstrip("-")
            problems.append(f"settings are written without dashes: '{right}', got '{token}'")
            continue
        problems += _insert(settings, path, parse_value(text), done="")
    if problems:
        raise ConfigError.of(problems)
    return settings


def parse_value(text: str) -> Plain:
    """Read the right side of a ``key=value`` pair, see `parse_pairs`."""
    text = text.strip()
    if text in _WORDS:
        return _WORDS[text]
    try:
        table = tomllib.loads(f"value = {text}")
        # A comment or a comma at the end is valid above, and would be lost silently.
        alone = tomllib.loads(f"value = [{text}]")
    except (ValueError, RecursionError):  # not TOML, a number of too many digits, deep nesting
        return text
    if table.keys() != {"value"} or len(alone["value"]) != 1 or text.endswith(","):
        return text
    if isinstance(table["value"], (datetime.date, datetime.time)):
        return text
    return _without_dates(table["value"])


def _without_dates(value: Plain) -> Plain:
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, list):
        return [_without_dates(member) for member in value]
    if isinstance(value, dict):
        return {key: _without_dates(member) for key, member in value.items()}
    return value


def _insert(tree: dict[str, Any], path: Sequence[str], value: Plain, done: str) -> list[str]:
    """Put a value into the tree and return the problems."""
    name, *rest = path
    here = f"{done}.{name}" if done else name
    if rest:
        inner = tree.setdefault(name, {})
        if not isinstance(inner, dict):
            return [f"'{here}' is set twice: to {inner!r} and by '{here}.{'.'.join(rest)}='"]
        return _insert(inner, rest, value, here)
    if name not in tree:
        tree[name] = value
        return []
    if isinstance(tree[name], dict) and isinstance(value, dict):
        return [
            problem
            for key, member in value.items()
            for problem in _insert(tree[name], [key], member, here)
        ]
    return [f"'{here}' is set twice: to {tree[name]!r} and to {value!r}"]


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a settings file. Paths in it are not changed.

    Raises:
        ConfigError: The file is missing, unreadable or not valid TOML. The message names the line.
            That for a file in YAML or JSON has its settings in TOML.
    """
    return parse_toml(settings_text(path), path)


def settings_text(path: str | Path) -> str:
    """Return the text of a settings file.

    Raises:
        ConfigError: The file is missing or unreadable.
    """
    try:
        # Some editors on Windows write a byte-order mark, which TOML does not allow.
        return Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"the config file '{path}' does not exist") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"the config file '{path}' is not valid UTF-8: {error.reason} at byte {error.start}; "
            "save it as UTF-8"
        ) from None
    except (OSError, ValueError) as error:  # also a NUL in the name
        raise ConfigError(f"the config file '{path}' cannot be read: {error}") from None


def parse_toml(text: str, path: str | Path) -> dict[str, Any]:
    """Return the settings in the text of a file.

    Args:
        text: The text.
        path: The file, for messages.

    Raises:
        ConfigError: The text is not valid TOML.
    """
    try:
        return dict(tomllib.loads(text))
    except (ValueError, RecursionError) as error:
        foreign = foreign_file(text, path)
        if foreign is not None:
            raise ConfigError(foreign) from None
        raise ConfigError(f"the config file '{path}' is not valid TOML: {error}") from None
