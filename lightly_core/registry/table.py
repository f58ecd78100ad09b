"""The list of runs as a table that fits a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from datetime import datetime
from unicodedata import combining, east_asian_width

from attrs import define

from lightly_core.amounts import bytes_text
from lightly_core.data.names import shown
from lightly_core.evaluation.uncertainty import percent
from lightly_core.registry.entry import RunEntry

#: Narrowest column of names in a terminal.
_NAME_WIDTH = 12
_GAP = 2


@define(frozen=True)
class Column:
    """One column.

    Attributes:
        title: Its heading.
        text: Its text for a run, and now.
        rank: Columns of higher rank are left out first where the terminal is narrow.
        right: Whether it is aligned to the right.
    """

    title: str
    text: Callable[[RunEntry, datetime], str]
    rank: int
    right: bool = False


COLUMNS = (
    Column("NAME", lambda run, now: run.name, 0),
    Column("STATE", lambda run, now: run.state, 1),
    Column("METHOD", lambda run, now: run.method or "", 4),
    Column("MODEL", lambda run, now: shown(run.model or ""), 5),
    Column("DATA", lambda run, now: shown(run.data or ""), 8),
    Column("EPOCHS", lambda run, now: epochs_text(run), 3, right=True),
    Column("KNN BEFORE", lambda run, now: percent(run.knn_before, run.knn_before_error), 6, True),
    Column("KNN", lambda run, now: percent(run.knn_after, run.knn_after_error), 2, right=True),
    Column("AGE", lambda run, now: age_text(run.started, now), 7, right=True),
    Column("SIZE", lambda run, now: size_text(run.size), 9, right=True),
)


def table_lines(runs: Sequence[RunEntry], now: datetime, width: int | None) -> list[str]:
    """Return the lines of the table, with the reason of a state below its run.

    Args:
        runs: The runs.
        now: The current time, for their ages.
        width: Columns of the terminal. None: there is no limit, and each run has one line, with
            its reason at the end.
    """
    columns = [(c.title, [c.text(run, now) for run in runs], c) for c in COLUMNS]
    if width is None:
        columns.append(("NOTE", [_reason(run) for run in runs], Column("NOTE", lambda *_: "", 10)))
        rows = _rows([(title, texts, c.right) for title, texts, c in columns])
        return [row.rstrip() for row in rows]
    kept = [entry for entry in columns if any(entry[1])]
    while (excess := _total(kept) - width) > 0 and len(kept) > 1:
        names = max(map(text_width, kept[0][1]))
        if names - excess >= max(_NAME_WIDTH, width // 3):
            break  # shorter names are enough
        kept.remove(max(kept, key=lambda entry: entry[2].rank))
    excess = max(_total(kept) - width, 0)
    room = max(_width(kept[0][0], kept[0][1]) - excess, 4)
    kept[0] = (kept[0][0], [shortened(text, room) for text in kept[0][1]], kept[0][2])
    rows = _rows([(title, texts, c.right) for title, texts, c in kept])
    lines = [rows[0].rstrip()]
    for row, run in zip(rows[1:], runs, strict=True):
        lines.append(row.rstrip())
        lines += textwrap.wrap(
            _reason(run), max(width, 20), initial_indent="  ", subsequent_indent="  "
        )
    return lines


def _reason(run: RunEntry) -> str:
    return shown(" ".join((run.reason or "").split()))


def _total(columns: Sequence[tuple[str, list[str], Column]]) -> int:
    return sum(_width(title, texts) + _GAP for title, texts, _ in columns) - _GAP


def _width(title: str, texts: Sequence[str]) -> int:
    return max(map(text_width, (title, *texts)))


def _rows(columns: Sequence[tuple[str, list[str], bool]]) -> list[str]:
    widths = [_width(title, texts) for title, texts, _ in columns]
    rows = zip(*([title, *texts] for title, texts, _ in columns), strict=True)
    return [
        (" " * _GAP).join(
            _padded(text, width, right)
            for text, width, (_, _, right) in zip(row, widths, columns, strict=True)
        )
        for row in rows
    ]


def _padded(text: str, width: int, right: bool) -> str:
    space = " " * (width - text_width(text))
    return space + text if right else text + space


def text_width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def shortened(text: str, width: int) -> str:
    """Cut a text in the middle, so that it takes at most `width` columns."""
    if text_width(text) <= width:
        return text
    begin, end = (width - 1) // 2, width - 1 - (width - 1) // 2
    return f"{_cut(text, begin)}…{_cut(text[::-1], end)[::-1]}"


def _cut(text: str, width: int) -> str:
    while text_width(text) > width:
        text = text[:-1]
    return text


def epochs_text(run: RunEntry) -> str:
    """Return the epochs that are done and planned, such as ``12/100``."""
    if run.epochs is None and run.epochs_done is None:
        return ""
    done = "?" if run.epochs_done is None else f"{run.epochs_done:.1f}".removesuffix(".0")
    return f"{done}/{'?' if run.epochs is None else run.epochs}"


def age_text(started: str | None, now: datetime) -> str:
    """Return the time since the start in the largest unit, such as ``3 h``."""
    if started is None:
        return ""
    try:
        seconds = (now - datetime.fromisoformat(started)).total_seconds()
    except (ValueError, TypeError):
        return ""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def size_text(size: int | None) -> str:
    """Return a number of bytes with a unit; None: nothing."""
    return "" if size is None else bytes_text(size)
