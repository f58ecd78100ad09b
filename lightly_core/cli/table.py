"""Prints plain tables. Importing `rich` would take longer than the rest of a command."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence

from lightly_core.streams import is_terminal


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print aligned columns. The last one is wrapped to the width of a terminal."""
    if not rows:
        return
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)][:-1]
    indent = sum(widths) + 2 * len(widths)
    width_left = (
        max(shutil.get_terminal_size().columns - indent, 30) if is_terminal(sys.stdout) else 0
    )
    for row in (header, *rows):
        first = "".join(f"{cell:<{width}}  " for cell, width in zip(row, widths, strict=False))
        last = textwrap.wrap(row[-1], width_left) if width_left else [row[-1]]
        print((first + (last[0] if last else "")).rstrip())
        for line in last[1:]:
            print(" " * indent + line)


def print_json(data: object) -> None:
    """Print plain data for other programs."""
    print(json.dumps(data, indent=2))
