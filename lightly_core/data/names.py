"""Escapes file names for display and for tables.

A file name may contain control characters that a terminal executes, line breaks, bytes that are
not valid text, or a formula that a spreadsheet would evaluate.
"""

from __future__ import annotations

import re
import unicodedata

#: Spreadsheets evaluate a cell that begins with one of these characters or their full-width
#: forms. Some also separate cells by semicolons.
_FORMULA = re.compile("(^|;)([=+@\uff1d\uff0b\uff20\uff0d-])")
_SHOWN_LENGTH = 300


def shown(text: str) -> str:
    r"""Escape a name, or a text that contains one, for any terminal, log and file.

    Control characters, line breaks, other characters that are not printable and bytes that are
    not valid text are escaped, such as ``\x1b``. A text of more than 300 characters is shortened
    in the middle.
    """
    visible = text if text.isprintable() else "".join(map(_visible, text))
    if len(visible) <= _SHOWN_LENGTH:
        return visible
    half = (_SHOWN_LENGTH - 3) // 2
    return f"{visible[:half]}...{visible[-half:]}"


def harmless(text: str) -> str:
    """Escape all control characters of a text except line breaks and tabs.

    For texts from elsewhere: a library's error message may quote bytes of a file.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter in "\n\t" else _visible(letter) for letter in text)


def as_text(name: str) -> str:
    r"""Return a name as valid Unicode; undecodable bytes are escaped, such as ``\udce9``."""
    return name.encode("utf-8", "backslashreplace").decode()


def written(text: str) -> str:
    r"""Escape a text for one cell of a table; `read_back` restores it.

    As `shown`, but never shortened. A backslash is doubled, and a character that would begin a
    formula in a spreadsheet is escaped, such as ``\x3d``.
    """
    visible = "".join("\\\\" if letter == "\\" else _visible(letter) for letter in text)
    return _FORMULA.sub(lambda found: found[1] + _escaped(found[2]), visible)


def read_back(cell: str) -> str:
    """Undo `written`; a text in another form is returned unchanged."""
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
