"""Texts that fit the width of a terminal. No word is cut."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator, Sequence

from lightly_core.streams import is_terminal

#: Width of texts where the output is no terminal, and the largest width of running text.
PROSE = 100
#: Narrowest width that texts are wrapped to.
_NARROWEST = 24
#: Parts of a word that is longer than a line, each with the signs after which it may be broken.
_PARTS = re.compile(r"[^/.:,=_|-]*[/.:,=_|-]+|[^/.:,=_|-]+")
_COMMANDS = ("lightly ", "pip ", "cd ")


def terminal_width() -> int | None:
    """Return the number of columns of the terminal. None: the output is no terminal."""
    if not is_terminal(sys.stdout):
        return None
    return max(shutil.get_terminal_size().columns, _NARROWEST)


def prose_width() -> int:
    """Return the width of running text: that of the terminal, at most `PROSE`."""
    return min(terminal_width() or PROSE, PROSE)


def fold(
    text: str, width: int, *, first: str = "", rest: str = "", whole: bool = False
) -> list[str]:
    """Break a text into lines between words.

    A word that is longer than a line is broken after one of ``/ . : , = _ | -``, if it has one.

    Args:
        text: The text. Its own line breaks are spaces.
        width: Most letters of a line.
        first: Beginning of the first line.
        rest: Beginning of the other lines.
        whole: Whether no word is broken. A line may then be longer.
    """
    lines, line, is_empty = [], first, True
    for word in text.split():
        is_whole = whole or len(word) <= width - len(rest)
        parts = [word] if is_whole else _PARTS.findall(word)
        for number, part in enumerate(parts):
            gap = "" if is_empty or number else " "
            if not is_empty and len(line) + len(gap) + len(part) > width:
                lines.append(line)
                line, gap = rest, ""
            line, is_empty = f"{line}{gap}{part}", False
    return [*lines, line]


def fit(text: str, width: int) -> list[str]:
    """Return the lines of a text that has paragraphs and indented examples.

    Lines of a paragraph are joined and broken again. An indented line that is too long is broken,
    with a backslash if it is a command.

    Args:
        text: The text.
        width: Most letters of a line.
    """
    lines: list[str] = []
    paragraph: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line and not line[0].isspace():
            paragraph.append(line)
            continue
        if paragraph:
            lines += fold(" ".join(paragraph), width)
            paragraph = []
        lines += _indented(line.rstrip(), width)
    return lines[:-1]


def definitions(pairs: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Return the lines of a list of names with their meanings, in two columns.

    Args:
        pairs: Each name with its meaning.
        width: Most letters of a line.
    """
    name_width = max((len(name) for name, _ in pairs), default=0)
    if width - name_width - 4 >= _NARROWEST:
        rest = " " * (name_width + 4)
        return [
            line
            for name, text in pairs
            for line in fold(text, width, first=f"  {name:<{name_width}}  ", rest=rest)
        ]
    return [line for pair in pairs for line in _below(pair, width)]


def _below(pair: tuple[str, str], width: int) -> Iterator[str]:
    if pair[0]:
        yield from fold(pair[0], width, first="  ", rest="    ")
    yield from fold(pair[1], width, first="      ", rest="      ")


def _indented(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    text = line.lstrip()
    indent = line[: len(line) - len(text)]
    if not text.startswith(_COMMANDS):
        return fold(text, width, first=indent, rest=f"{indent}  ")
    *lines, last = fold(text, width - 2, first=indent, rest=f"{indent}    ", whole=True)
    return [*(f"{line} \\" for line in lines), last]
