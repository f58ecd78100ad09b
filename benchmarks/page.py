"""Writes docs/performance.md."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.measure import Result

_HEAD = """\
# Performance

<!-- Written by `nox -s bench`. -->

Ours and a peer are measured in turn, in one run, on one core, in CPU time. Values are medians, with
the smallest and largest of {repeats} repetitions. A ratio above 1 means that ours takes less.
Ratios can be compared between machines, times cannot.

{machine}

| what | ours | peer | | ratio | goal | reached |
|---|---|---|---|---|---|---|
"""


def page(results: Sequence[Result], versions: Mapping[str, str], repeats: int) -> str:
    """Return the text of the page."""
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    machine = (
        f"{_processor()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, {listed}."
    )
    return _HEAD.format(repeats=repeats, machine=machine) + "".join(map(line, results))


def line(result: Result) -> str:
    """Return a row of the table."""
    row = result.row
    ratio = "" if result.ratio is None else f"{result.ratio:.2f}"
    goal = f"<= {row.most:g} {row.unit}" if row.most is not None else f">= {row.least_ratio:.2g}"
    reached = {True: "yes", False: "no", None: result.error or "not run"}[result.reached]
    cells = (row.name, _values(result.ours, row.unit), _values(result.peer, row.unit))
    return f"| {' | '.join(cells)} | {row.peer_name} | {ratio} | {goal} | {reached} |\n"


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
