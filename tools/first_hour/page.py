"""Writes the tables of docs/first-hour.md."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean

from attrs import define

from lightly_core.advising.evidence import Row, points_error
from tools import marked_tables
from tools.first_hour.results import SCRATCH, Tuned

#: Runs from this many images seen on count for the summary.
LEAST_SEEN = 200_000


@define(frozen=True)
class Cell:
    """A method in a case, over its seeds.

    Attributes:
        small: With the values for short runs.
        paper: With the paper's values; None: not run.
    """

    small: Row
    paper: Row | None

    @property
    def ahead(self) -> float | None:
        """Points of kNN above the paper's values; None: these were not run."""
        return None if self.paper is None else self.small.knn - self.paper.knn

    @property
    def ahead_error(self) -> float:
        """Standard error of `ahead`."""
        return 0.0 if self.paper is None else self.small.error_to(self.paper)

    @property
    def is_below_paper(self) -> bool:
        """Whether short runs are below the paper's values by more than one error."""
        return self.ahead is not None and self.ahead < -self.ahead_error


def cells(found: Iterable[Row]) -> list[Cell]:
    """Return the methods of all cases, in the order of the table."""
    groups: dict[tuple[str, int, str], dict[str, Row]] = {}
    for row in found:
        groups.setdefault((row.case.name, row.images_seen, row.method), {})[row.recipe] = row
    return [
        Cell(group["small"], group.get("paper")) for group in groups.values() if "small" in group
    ]


def table(found: Sequence[Cell]) -> str:
    """Return the table of all cells."""
    titles = (
        *("case", "images seen", "method", "seeds", "untrained"),
        *(
            "kNN, small",
            "gain",
            "kNN, paper",
            "small minus paper",
            "linear, untrained / small / paper",
        ),
    )
    lines = [titles, ("---",) * len(titles), *(_line(cell) for cell in found)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _line(cell: Cell) -> tuple[str, ...]:
    small, paper = cell.small, cell.paper
    linear = f"{small.untrained_linear:.1f} / {small.linear:.1f} / "
    linear += f"{paper.linear:.1f}" if paper else "-"
    ahead = "-"
    if cell.ahead is not None:
        ahead = f"{cell.ahead:+.1f} ({cell.ahead_error:.1f})"
    mark = "" if small.learns else " **no**"
    return (
        small.case.name,
        f"{small.images_seen:,}",
        f"`{small.method}`",
        str(len(small.runs)),
        f"{small.untrained:.1f}",
        f"{small.knn:.1f}",
        f"{small.gain:+.1f} ({small.gain_error:.1f}){mark}",
        f"{paper.knn:.1f}" if paper else "-",
        f"{ahead} **below**" if cell.is_below_paper else ahead,
        linear,
    )


def summary(found: Sequence[Cell]) -> str:
    """Return how many cells reach the goals."""
    long_enough = [cell for cell in found if cell.small.images_seen >= LEAST_SEEN]
    compared = [cell for cell in long_enough if cell.ahead is not None]
    if not long_enough:
        return f"No runs of {LEAST_SEEN:,} images seen were made yet.\n"
    counts = {
        "above the untrained network by more than two standard errors": [
            cell.small.learns for cell in long_enough
        ],
        "not below the paper's values by more than one standard error": [
            not cell.is_below_paper for cell in compared
        ],
        "above the paper's values": [(cell.ahead or 0) > 0 for cell in compared],
    }
    lines = [f"| of the cells from {LEAST_SEEN:,} images seen on | cells |", "|---|---|"]
    lines += [f"| {text} | {sum(true)} of {len(true)} |" for text, true in counts.items()]
    return "\n".join(lines) + "\n"


def labels_table(found: Sequence[Tuned]) -> str:
    """Return the table of fine-tuning: a line for each case and number of labels."""
    if not found:
        return "No networks were fine-tuned yet.\n"
    groups: dict[tuple[str, int, str, int], list[Tuned]] = defaultdict(list)
    for one in found:
        groups[one.case, one.labels, one.start, one.images_seen].append(one)
    titles = ("case", "labels", "pretraining", "images seen", "seeds", "top-1", "above scratch")
    lines = [titles, ("---",) * len(titles)]
    for (case, labels, start, seen), runs in sorted(groups.items()):
        scratch = groups.get((case, labels, SCRATCH, 0), [])
        ahead = "-"
        if start != SCRATCH and scratch:
            ahead = _above(scratch, runs)
        mean = f"{_top1(runs):.1f}"
        lines.append((case, f"{labels:,}", start, f"{seen:,}", str(len(runs)), mean, ahead))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _top1(runs: Sequence[Tuned]) -> float:
    return fmean(run.top1 for run in runs)


def _above(scratch: Sequence[Tuned], runs: Sequence[Tuned]) -> str:
    first, second = _top1(scratch), _top1(runs)
    num_test = min(run.num_test for run in (*scratch, *runs))
    return f"{second - first:+.1f} ({points_error(first, second, num_test):.1f})"


def write(path: Path, found: Sequence[Row], tuned: Sequence[Tuned]) -> None:
    """Replace the tables of the page."""
    made = cells(found)
    tables = {"results": table(made), "summary": summary(made), "labels": labels_table(tuned)}
    marked_tables.write(path, tables)
