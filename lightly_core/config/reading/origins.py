"""Where settings were given: lines of a file, words of the command line, or Python arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

from lightly_core.config.reading.keyvalue import parse_pairs, parse_toml, settings_text
from lightly_core.config.reading.toml_lines import KeyPath, toml_lines

#: Most letters of a word in a message.
_LONGEST = 60


class Origin(Protocol):
    """Settings of one kind, and the places where they were given."""

    settings: Mapping[str, Any]

    def place(self, keys: KeyPath) -> str:
        """Return where a setting was given, for messages. Empty: it is not known.

        Args:
            keys: The setting's full name.
        """
        ...


class FileOrigin:
    """A TOML file.

    Args:
        path: The file.

    Raises:
        ConfigError: It cannot be read.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._text = settings_text(path)
        self.settings: Mapping[str, Any] = parse_toml(self._text, path)

    @cached_property
    def _lines(self) -> Mapping[KeyPath, int]:
        return toml_lines(self._text)

    def place(self, keys: KeyPath) -> str:
        """Return the file and the line of the setting, or of the closest group around it."""
        for length in range(len(keys), 0, -1):
            if keys[:length] in self._lines:
                return f"{self._path}, line {self._lines[keys[:length]]}"
        return self._path


class WordsOrigin:
    """Words of the form ``key=value``.

    Args:
        words: The words.

    Raises:
        ConfigError: A word is not a pair, or two words set the same key.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.settings: Mapping[str, Any] = parse_pairs(words)
        self._words: dict[KeyPath, str] = {}
        for word in words:
            name = word.partition("=")[0]
            self._words[tuple(part.strip() for part in name.split("."))] = word

    def place(self, keys: KeyPath) -> str:
        """Return the word that sets the setting, or the only word that sets a part of it."""
        for length in range(len(keys), 0, -1):
            if keys[:length] in self._words:
                return _quoted(self._words[keys[:length]])
        parts = [word for path, word in self._words.items() if path[: len(keys)] == keys]
        return _quoted(parts[0]) if len(parts) == 1 else ""


class ArgumentsOrigin:
    """Python arguments, as plain data.

    Args:
        settings: The arguments by name.
        alone: Whether there are no other settings. A setting's name is then the argument's.
    """

    def __init__(self, settings: Mapping[str, Any], *, alone: bool) -> None:
        self.settings = settings
        self._alone = alone

    def place(self, keys: KeyPath) -> str:
        """Return the argument, where settings were given in another way too."""
        return "" if self._alone else f"the argument {keys[0]}"


def sets(settings: object, keys: KeyPath) -> bool:
    """Return whether settings have a value under these keys, or in place of one of their groups."""
    value: Any = settings
    for key in keys:
        if isinstance(key, int):
            if not isinstance(value, (list, tuple)):
                return True
            if key >= len(value):
                return False
        elif not isinstance(value, Mapping):
            return True
        elif key not in value:
            return False
        value = value[key]
    return bool(keys)


def _quoted(word: str) -> str:
    return f"'{word}'" if len(word) <= _LONGEST else f"'{word[: _LONGEST - 3]}...'"
