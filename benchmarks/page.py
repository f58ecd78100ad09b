"""Writes docs/performance.md."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.measure import Result, precision
from benchmarks.row import Row

_HEAD = """\
# Performance

<!-- Written by `nox -s bench`. -->

Ours and a peer are measured in turn on one core, in CPU time unless a row says otherwise. Values
are medians, with the smallest and the largest of all repetitions. A ratio above 1 means that ours
takes less. Ratios can be compared between machines, times cannot. The last column is the commit at
which a row was measured. Peers are called from outside, with their own transforms and settings.
Rows of `benchmarks/rows/` that are missing here were not measured yet.

{machine}

| what | ours | peer | | ratio | goal | reached | commit |
|---|---|---|---|---|---|---|---|
"""
_BOUNDS = "\n## Goals that are not reached\n\n"


def page(
    rows: Sequence[Row],
    results: Sequence[Result],
    versions: Mapping[str, str],
    commit: str,
    old: str = "",
) -> str:
    """Return the text of the page.

    Args:
        rows: All rows, in their order.
        results: Those that were measured now.
        versions: Versions of the packages that matter.
        commit: The commit that was measured.
        old: The text of the page so far. Its lines stay for rows that were not measured now.
    """
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    machine = (
        f"{_processor()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, {listed}. "
        f"Networks are trained in {precision()}."
    )
    lines = {text.split(" | ")[0].removeprefix("| "): text for text in old.splitlines(True)}
    lines |= {result.row.name: line(result, commit) for result in results}
    table = [lines[row.name] for row in rows if row.name in lines]
    missed = [row for row in rows if row.bound and " | no | " in lines.get(row.name, "")]
    return "".join((_HEAD.format(machine=machine), *table, _bounds(missed)))


def _bounds(missed: Sequence[Row]) -> str:
    """Return each reason, with the rows that it holds for."""
    names: dict[str, list[str]] = {}
    for row in missed:
        names.setdefault(row.bound, []).append(f"- {row.name}\n")
    parts = [f"{bound}\n\n{''.join(listed)}" for bound, listed in names.items()]
    return _BOUNDS + "\n".join(parts) if parts else ""


def line(result: Result, commit: str) -> str:
    """Return a line of the table."""
    row = result.row
    ratio = "" if result.ratio is None else f"{result.ratio:.2f}"
    goal = f"<= {row.most:g} {row.unit}" if row.most is not None else f">= {row.least_ratio:.3g}"
    reached = {True: "yes", False: "no", None: _why(result)}[result.reached]
    cells = (row.name, _values(result.ours, row.unit), _values(result.peer, row.unit))
    return f"| {' | '.join(cells)} | {row.peer_name} | {ratio} | {goal} | {reached} | {commit} |\n"


def _why(result: Result) -> str:
    error = (result.error or "no peer").replace("|", "/")
    return f"not run: {error}"


def _values(values: Iterable[float], unit: str) -> str:
    found = sorted(values)
    if not found:
        return ""
    return f"{statistics.median(found):.3g} {unit} ({found[0]:.3g} to {found[-1]:.3g})"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(text.split(":")[1].strip() for text in file if "model name" in text)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
