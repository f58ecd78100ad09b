"""File names as they are shown, and as they are written into tables.

A file name may hold nearly anything: control characters that a terminal obeys, line breaks, bytes
that are no text, a formula that a spreadsheet would compute.
"""

from __future__ import annotations

import re
import unicodedata

#: A cell that begins with one of these is a formula to spreadsheets, also in their wide forms. They
#: also begin a cell after a semicolon, where that separates cells.
_FORMULA = re.compile("(^|;)([=+@\uff1d\uff0b\uff20\uff0d-])")
_SHOWN_LENGTH = 300


def shown(text: str) -> str:
    r"""Return a name, or a text with one in it, that any terminal, log and file can hold.

    Control characters, line breaks and all else that is not printed become ``\x1b`` and the like,
    and so do bytes that are no text. What is longer than 300 characters is cut in the middle.
    """
    visible = text if text.isprintable() else "".join(map(_visible, text))
    if len(visible) <= _SHOWN_LENGTH:
        return visible
    half = (_SHOWN_LENGTH - 3) // 2
    return f"{visible[:half]}...{visible[-half:]}"


def harmless(text: str) -> str:
    """Return a text of several lines without control characters but line breaks and tabs.

    The last net: what comes from elsewhere, such as a library's error, may quote a file's bytes.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter in "\n\t" else _visible(letter) for letter in text)


def as_text(name: str) -> str:
    r"""Return a name as valid Unicode; bytes that are no text become ``\udce9`` and the like."""
    return name.encode("utf-8", "backslashreplace").decode()


def written(text: str) -> str:
    r"""Return a text for one cell of a table, from which `read_back` makes the same text again.

    As `shown`, never cut; a backslash is doubled, and the sign that would begin a formula in a
    spreadsheet becomes ``\x3d`` and the like.
    """
    visible = "".join("\\\\" if letter == "\\" else _visible(letter) for letter in text)
    return _FORMULA.sub(lambda found: found[1] + _escaped(found[2]), visible)


def read_back(cell: str) -> str:
    """Undo `written`; a text that it has not written is returned as it is."""
    try:
        return cell.encode("latin-1", "backslashreplace").decode("unicode_escape")
    except UnicodeDecodeError:
        return cell


def _visible(letter: str) -> str:
    printed = letter.isprintable() or unicodedata.category(letter) == "Zs"  # spaces of all widths
    return letter if printed else _escaped(letter)


def _escaped(letter: str) -> str:
    escaped = letter.encode("unicode_escape").decode()
    return f"\\x{ord(letter):02x}" if escaped == letter else escaped
