"""Prints plain tables. Importing `rich` would take longer than the rest of a command."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from lightly_core.terminal import fold, terminal_width

#: Narrowest last column. In a narrower terminal it is below the other columns.
_LAST = 20


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print aligned columns that fit the terminal. Elsewhere each row is one line, for `grep`."""
    if not rows:
        return
    for line in table_lines(header, rows, terminal_width()):
        print(line)


def table_lines(
    header: Sequence[str], rows: Sequence[Sequence[str]], width: int | None
) -> Iterator[str]:
    """Yield the lines of a table.

    The last column is wrapped. If too little room is left for it, it is below the others.

    Args:
        header: Titles of the columns.
        rows: Texts by column.
        width: Most letters of a line; None: there is no limit.
    """
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)][:-1]
    indent = sum(widths) + 2 * len(widths)
    is_aligned = (
        width is None
        or width - indent >= _LAST
        or all(indent + len(row[-1]) <= width for row in (header, *rows))
    )
    for row in (header, *rows):
        first = "".join(f"{cell:<{cells}}  " for cell, cells in zip(row, widths, strict=False))
        if width is None:
            yield f"{first}{row[-1]}".rstrip()
        elif is_aligned:
            lines = fold(row[-1], width, first=first, rest=" " * indent)
            yield from (line.rstrip() for line in lines)
        else:
            yield from fold("  ".join(filter(None, row[:-1])), width, rest="  ")
            yield from fold(row[-1], width, first="    ", rest="    ") if row[-1] else ()


def print_json(data: object) -> None:
    """Print plain data for other programs."""
    print(json.dumps(data, indent=2))
