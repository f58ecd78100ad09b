"""HTML for notebooks: tables and results that show themselves, in dark and in light colours."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import ClassVar, TypeVar

T = TypeVar("T")

#: Rows of a table that are shown.
MAX_ROWS = 60

_LINE = "border-bottom: 1px solid rgba(128, 128, 128, 0.4)"
# Colours are those of the notebook, so that both its themes are readable.
_TABLE = "border-collapse: collapse; margin: 0.3em 0; font-size: 0.9em"
_CELL = "text-align: left; vertical-align: top; padding: 0.15em 0.8em 0.15em 0; border: 0"
_CODE = f"{_LINE}; font-family: monospace; font-size: 0.9em; overflow-x: auto; padding: 0.3em 0"
#: Texts up to this length are not broken into lines.
_SHORT = 32


class Table(list[T]):
    """A list whose items a notebook shows as a table. In all else it is a list.

    Subclasses set `header` and define `cells`.

    Attributes:
        header: Headings of the columns.
    """

    header: ClassVar[tuple[str, ...]]

    def cells(self, item: T) -> Sequence[object]:
        """Return the texts of a row."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        rows = [self.cells(item) for item in self[:MAX_ROWS]]
        more = len(self) - len(rows)
        return table(self.header, rows) + (paragraph(f"and {more:,} more") if more else "")


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; columns in which all cells are empty are left out."""
    shown = [[escaped(cell) for cell in row] for row in rows]
    kept = [
        column
        for column in range(len(header))
        if not shown or any(row[column] for row in shown) or column == 0
    ]
    head = "".join(
        f'<th style="{_CELL}; {_LINE}">{escaped(header[column])}</th>' for column in kept
    )
    body = "".join(
        "<tr>" + "".join(_cell("td", row[column]) for column in kept) + "</tr>" for row in shown
    )
    if not shown:
        body = f'<tr><td style="{_CELL}" colspan="{len(kept)}">none</td></tr>'
    return f'<table style="{_TABLE}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def facts(title: str, rows: Iterable[tuple[str, object]], code: str = "") -> str:
    """Return a heading, a table of names and values without empty ones, and a block of code."""
    body = "".join(
        f"<tr>{_cell('th', escaped(name))}{_cell('td', escaped(value))}</tr>"
        for name, value in rows
        if value not in (None, "")
    )
    block = f'<pre style="{_CODE}">{escaped(code)}</pre>' if code else ""
    return f'<strong>{escaped(title)}</strong><table style="{_TABLE}">{body}</table>{block}'


def _cell(tag: str, text: str) -> str:
    """Return a cell; `text` is escaped, and keeps its line breaks."""
    space = "nowrap" if len(text) <= _SHORT and "\n" not in text else "pre-line"
    return f'<{tag} style="{_CELL}; white-space: {space}">{text}</{tag}>'


def paragraph(text: str) -> str:
    """Return a small paragraph."""
    return f'<div style="font-size: 0.9em">{escaped(text)}</div>'


def escaped(value: object) -> str:
    """Return the text of a value for HTML; bytes of names that are no text are escaped too."""
    text = "" if value is None else str(value)
    return html.escape(text.encode("utf-8", "backslashreplace").decode())
