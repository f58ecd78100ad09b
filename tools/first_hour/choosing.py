"""Writes the table of short runs in docs/choosing-a-method.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightly_core.advising.choice import at_one_budget
from lightly_core.advising.evidence import Row
from tools import marked_tables


def gains_table(evidence: Sequence[Row]) -> str:
    """Return the gains of all methods: a line for each, with a column for each case.

    Of the recipes of a method, that with the higher accuracy is shown. Gains within one standard
    error of the best of a column are bold.
    """
    names = dict.fromkeys(row.case.name for row in evidence)
    columns = [_column([row for row in evidence if row.case.name == name]) for name in names]
    methods = sorted({method for column in columns for method in column})
    seen = [f"{next(iter(column.values())).images_seen:,}" for column in columns]
    lines = [
        ("", *names),
        ("---",) * (1 + len(columns)),
        ("images seen", *seen),
        *((f"`{method}`", *(_gain(method, column) for column in columns)) for method in methods),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _column(rows: Sequence[Row]) -> dict[str, Row]:
    """Return the better row of each method of a case."""
    best: dict[str, Row] = {}
    for row in sorted(at_one_budget(rows), key=lambda row: row.knn):
        best[row.method] = row
    return best


def _gain(method: str, column: dict[str, Row]) -> str:
    row = column.get(method)
    if row is None:
        return ""
    best = max(column.values(), key=lambda row: row.knn)
    text = f"{row.gain:+.1f} ({row.gain_error:.1f})"
    if best.knn - row.knn <= best.error_to(row):
        text = f"**{text}**"
    return f"{text} {row.recipe}" if row.recipe != "small" else text


def write(path: Path, evidence: Sequence[Row]) -> None:
    """Replace the table of the page."""
    marked_tables.write(path, {"short runs": gains_table(evidence)})
