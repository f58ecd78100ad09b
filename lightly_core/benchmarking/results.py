"""The results of rows, read from their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from attrs import evolve

from lightly_core.benchmarking import state
from lightly_core.benchmarking.measured import Measured, Scores, read_measured
from lightly_core.benchmarking.state import RowFolder
from lightly_core.benchmarking.suite import Row, Suite
from lightly_core.benchmarking.sweeps.sweep import Sweep
from lightly_core.benchmarking.sweeps.trial import Trial, read_trials
from lightly_core.notebook import Table


@dataclass(frozen=True)
class RowResult:
    """State and results of a row.

    Attributes:
        row: The row.
        state: ``finished``, ``failed``, ``interrupted`` or ``waiting``.
        measured: Its results. None before its training has ended.
        error: Why it failed.
        device: What it was evaluated on.
        chosen: Whether this call runs it. Other rows may have results of an earlier call.
        trials: Those of its sweep so far, by number. `row` and `measured` are those of the best.
    """

    row: Row
    state: Literal["finished", "failed", "interrupted", "waiting"]
    measured: Measured | None = None
    error: str | None = None
    device: str | None = None
    chosen: bool = True
    trials: tuple[Trial, ...] = ()

    @property
    def name(self) -> str:
        """Name of the row."""
        return self.row.name

    @property
    def scores(self) -> Scores:
        """Accuracies in [0, 1], those that are not known as None."""
        return self.measured.scores if self.measured is not None else Scores()

    @property
    def best(self) -> Trial | None:
        """The best trial of its sweep; None if it has none or none has finished."""
        return None if self.row.sweep is None else self.row.sweep.best(self.trials)


class RowResults(Table[RowResult]):
    """Results of rows, shown with their accuracies in percent."""

    header = (
        *("row", "method", "state"),
        *("kNN", "untrained", "linear", "fine-tuned", "minutes", "note"),
    )

    def cells(self, item: RowResult) -> Sequence[object]:
        """Return the accuracies that are known."""
        scores = item.scores
        names = ("knn_top1", "knn_untrained", "linear_top1", "finetune_top1")
        minutes = "" if item.measured is None else f"{item.measured.seconds / 60:.1f}"
        shown = (scores.percent(name) for name in names)
        return (item.name, item.row.method, item.state, *shown, minutes, item.error)


def row_results(suite: Suite) -> list[RowResult]:
    """Read the results of the rows so far, without rows that were never requested."""
    read = {row.name: row_result(row, RowFolder(suite.folder / row.name)) for row in suite.rows}
    found = [replace(result, chosen=name in suite.chosen) for name, result in read.items()]
    return RowResults(result for result in found if result.chosen or result.state != "waiting")


def has_finished(row: Row, folder: RowFolder) -> bool:
    """Return whether a row has finished, so that it is not run again."""
    if row.sweep is None:
        return folder.result.is_file()
    trials = read_trials(folder.root)
    return row.sweep.all_ended(trials) and row.sweep.best(trials) is not None


def row_result(row: Row, folder: RowFolder) -> RowResult:
    """Read the result of a row so far."""
    if folder.changes(row):  # not chosen now, and its results belong to other settings
        return RowResult(row, "waiting")
    if row.sweep is not None:
        return _sweep_result(row, row.sweep, folder)
    trained = state.read(folder.trained)
    evaluation = (state.read(folder.evaluation) or {}).get("results", [])
    measured = read_measured(trained, evaluation, row.knn_k) if trained is not None else None
    device = evaluation[0]["device"] if evaluation else None
    if folder.result.is_file():
        return RowResult(row, "finished", measured, device=device)
    failure = state.read(folder.failure)
    if failure is not None:
        return RowResult(row, "failed", measured, error=failure["error"], device=device)
    begun = folder.settings.is_file()
    return RowResult(row, "interrupted" if begun else "waiting", measured, device=device)


def _sweep_result(row: Row, sweep: Sweep, folder: RowFolder) -> RowResult:
    """Return the result of the best trial under the name of the row."""
    trials = tuple(read_trials(folder.root))
    ended, best = sweep.all_ended(trials), sweep.best(trials)
    if best is None:
        errors = [trial.error for trial in trials if trial.error is not None]
        if ended:
            error = f"no trial has finished; the first error: {''.join(errors[:1])}"
            return RowResult(row, "failed", error=error, trials=trials)
        return RowResult(row, "interrupted" if trials else "waiting", trials=trials)
    own = sweep.make(f"{row.name}/{best.name}", best.values)
    return replace(
        row_result(own, RowFolder(folder.root / best.name)),
        row=evolve(own, name=row.name, sweep=sweep),
        state="finished" if ended else "interrupted",
        trials=trials,
    )


def summary(result: RowResult, folder: RowFolder) -> str:
    """Return a line about a row that has ended."""
    if result.state == "failed":
        first = (result.error or "").partition("\n")[0]
        return f"FAILED: {first}\n  see {folder.log}"
    assert result.measured is not None  # what has finished has been trained
    scores = result.measured.scores
    parts = [
        f"{title} {text}"
        for title, name in (
            ("kNN", "knn_top1"),
            ("untrained", "knn_untrained"),
            ("linear", "linear_top1"),
            ("fine-tuned", "finetune_top1"),
        )
        if (text := scores.percent(name))
    ]
    return ", ".join([*parts, f"{result.measured.seconds / 60:.1f} min"])
