"""Writes the tables of docs/first-hour.md."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean

from attrs import define

from lightly_core.evaluation.uncertainty import error_of_difference
from tools import marked_tables
from tools.first_hour.results import SCRATCH, Result, Tuned

#: Runs from this many images seen on count for the summary.
LEAST_SEEN = 200_000


@define(frozen=True)
class Cell:
    """A method in a case, over its seeds. Accuracies are in percent.

    Attributes:
        case: Data set and network.
        images_seen: Training images times epochs.
        method: Method.
        small: Runs with the values for short runs.
        paper: Runs with the paper's values.
    """

    case: str
    images_seen: int
    method: str
    small: tuple[Result, ...]
    paper: tuple[Result, ...]

    @property
    def gain(self) -> float:
        """Points of kNN above the untrained network, with the values for short runs."""
        return _mean(self.small, "knn") - _mean(self.small, "untrained")

    @property
    def gain_error(self) -> float:
        """Standard error of `gain`."""
        return _error(self.small, "untrained", self.small, "knn")

    @property
    def ahead(self) -> float | None:
        """Points of kNN above the paper's values; None: these were not run."""
        return _mean(self.small, "knn") - _mean(self.paper, "knn") if self.paper else None

    @property
    def ahead_error(self) -> float:
        """Standard error of `ahead`."""
        return _error(self.paper, "knn", self.small, "knn")

    @property
    def learns(self) -> bool:
        """Whether short runs are above the untrained network by more than two errors."""
        return self.gain > 2 * self.gain_error

    @property
    def is_below_paper(self) -> bool:
        """Whether short runs are below the paper's values by more than one error."""
        return self.ahead is not None and self.ahead < -self.ahead_error


def cells(found: Iterable[Result]) -> list[Cell]:
    """Return the methods of all cases, in the order of the table."""
    groups: dict[tuple[str, int, str], dict[str, list[Result]]] = defaultdict(
        lambda: {"small": [], "paper": []}
    )
    for result in found:
        groups[result.case, result.images_seen, result.method][result.recipe].append(result)
    return [
        Cell(*key, tuple(group["small"]), tuple(group["paper"]))
        for key, group in groups.items()
        if group["small"]
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
    linear = f"{_mean(cell.small, 'untrained_linear'):.1f} / {_mean(cell.small, 'linear'):.1f} / "
    linear += f"{_mean(cell.paper, 'linear'):.1f}" if cell.paper else "-"
    ahead = "-"
    if cell.ahead is not None:
        ahead = f"{cell.ahead:+.1f} ({cell.ahead_error:.1f})"
    mark = "" if cell.learns else " **no**"
    return (
        cell.case,
        f"{cell.images_seen:,}",
        f"`{cell.method}`",
        str(len(cell.small)),
        f"{_mean(cell.small, 'untrained'):.1f}",
        f"{_mean(cell.small, 'knn'):.1f}",
        f"{cell.gain:+.1f} ({cell.gain_error:.1f}){mark}",
        f"{_mean(cell.paper, 'knn'):.1f}" if cell.paper else "-",
        f"{ahead} **below**" if cell.is_below_paper else ahead,
        linear,
    )


def summary(found: Sequence[Cell]) -> str:
    """Return how many cells reach the goals."""
    long_enough = [cell for cell in found if cell.images_seen >= LEAST_SEEN]
    compared = [cell for cell in long_enough if cell.ahead is not None]
    if not long_enough:
        return f"No runs of {LEAST_SEEN:,} images seen were made yet.\n"
    counts = {
        "above the untrained network by more than two standard errors": [
            cell.learns for cell in long_enough
        ],
        "not below the paper's values by more than one standard error": [
            not cell.is_below_paper for cell in compared
        ],
        "above the paper's values": [(cell.ahead or 0) > 0 for cell in compared],
    }
    lines = [f"| of the cells from {LEAST_SEEN:,} images seen on | cells |", "|---|---|"]
    lines += [f"| {text} | {sum(true)} of {len(true)} |" for text, true in counts.items()]
    return "\n".join(lines) + "\n"


def _mean(runs: Sequence[Result | Tuned], name: str) -> float:
    return fmean(getattr(run, name) for run in runs)


def _error(
    before: Sequence[Result | Tuned], first: str, after: Sequence[Result | Tuned], second: str
) -> float:
    """Return the standard error of the difference of two accuracies, in points.

    The seeds classify the same images with other networks. They are treated as one sample, so the
    error is rather too large than too small.
    """
    num_test = min(run.num_test for run in (*before, *after))
    accuracies = _mean(before, first) / 100, _mean(after, second) / 100
    error = 100 * error_of_difference(*accuracies, num_test)
    return math.ceil(10 * error) / 10


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
            gain = _mean(runs, "top1") - _mean(scratch, "top1")
            ahead = f"{gain:+.1f} ({_error(scratch, 'top1', runs, 'top1'):.1f})"
        mean = f"{_mean(runs, 'top1'):.1f}"
        lines.append((case, f"{labels:,}", start, f"{seen:,}", str(len(runs)), mean, ahead))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write(path: Path, found: Sequence[Result], tuned: Sequence[Tuned]) -> None:
    """Replace the tables of the page."""
    made = cells(found)
    tables = {"results": table(made), "summary": summary(made), "labels": labels_table(tuned)}
    marked_tables.write(path, tables)
