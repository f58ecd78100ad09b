"""Finds the line of each setting in a TOML file.

The parsers of Python, and the packages that write TOML, tell lines of syntax errors only. The text
has been parsed before it comes here, so this scanner checks nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from lightly_core.config.reading.toml_parser import tomllib

#: A setting's full name: keys, and positions in lists.
KeyPath = tuple[str | int, ...]

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\ufeff]+|\#[^\n]*)
    |(?P<newline>\n)
    |(?P<text>\"{3}(?:\\.|[^\\])*?\"{3}(?!\")|'{3}.*?'{3}(?!')|"(?:\\.|[^"\\])*"|'[^']*')
    |(?P<mark>[\[\]{}=,.])
    |(?P<word>[^\s\#"'\[\]{}=,.]+)
    """,
    re.VERBOSE | re.DOTALL,
)


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


_END = _Token("end", "", 0)


def toml_lines(text: str) -> Mapping[KeyPath, int]:
    """Return the lines on which keys, tables and members of lists begin, counted from 1.

    Args:
        text: A valid TOML text.
    """
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    """Reads the tokens of a text from left to right, and records where each key is.

    Args:
        text: A valid TOML text.
    """

    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._lengths: dict[KeyPath, int] = {}  # of the lists of tables
        self._tokens = _tokens(text)
        self._next = 0

    def document(self) -> None:
        """Read tables and pairs to the end."""
        table: KeyPath = ()
        while (token := self._peek()) is not _END:
            if token.kind == "newline":
                self._take()
            elif token.text == "[" and token.kind == "mark":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> KeyPath:
        line = self._take().line
        is_list = self._peek().text == "["
        if is_list:
            self._take()
        path = self._in_lists(self._key())
        if is_list:
            number = self._lengths.get(path, 0)
            self._lengths[path] = number + 1
            path = (*path, number)
        self._record(path, line)
        for _ in range(2 if is_list else 1):
            self._take()
        return path

    def _in_lists(self, keys: KeyPath) -> KeyPath:
        """Return the path of a table's name: below a list of tables it means the last of them."""
        path: KeyPath = ()
        for key in keys[:-1]:
            path = (*path, key)
            if path in self._lengths:
                path = (*path, self._lengths[path] - 1)
        return (*path, *keys[-1:])

    def _pair(self, table: KeyPath) -> None:
        line = self._peek().line
        path = (*table, *self._key())
        self._record(path, line)
        self._take()  # the equals sign
        self._value(path)

    def _record(self, path: KeyPath, line: int) -> None:
        """Record where a key begins, and the groups around it if they begin here too."""
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], line)

    def _key(self) -> KeyPath:
        keys = []
        while (token := self._peek()).kind in ("word", "text") or token.text == ".":
            self._take()
            if token.kind == "word":
                keys.append(token.text)
            elif token.kind == "text":
                keys.append(tomllib.loads(f"key = {token.text}")["key"])
        return tuple(keys)

    def _value(self, path: KeyPath) -> None:
        opened = self._take()
        if opened.kind == "mark" and opened.text == "[":
            self._list(path)
        elif opened.kind == "mark" and opened.text == "{":
            self._inline_table(path)
        else:
            while (token := self._peek()).kind in ("word", "text") or token.text == ".":
                self._take()

    def _list(self, path: KeyPath) -> None:
        number = 0
        while (token := self._peek()) is not _END and token.text != "]":
            if token.kind == "newline" or token.text == ",":
                self._take()
                continue
            member = (*path, number)
            self.lines[member] = token.line
            self._value(member)
            number += 1
        self._take()

    def _inline_table(self, path: KeyPath) -> None:
        while (token := self._peek()) is not _END and token.text != "}":
            if token.kind == "newline" or token.text == ",":
                self._take()
            else:
                self._pair(path)
        self._take()

    def _peek(self) -> _Token:
        return self._tokens[self._next] if self._next < len(self._tokens) else _END

    def _take(self) -> _Token:
        token = self._peek()
        self._next += 1
        return token


def _tokens(text: str) -> list[_Token]:
    tokens, line = [], 1
    for found in _TOKEN.finditer(text):
        kind = str(found.lastgroup)
        if kind != "space":
            tokens.append(_Token(kind, found[0], line))
        line += found[0].count("\n")
    return tokens
