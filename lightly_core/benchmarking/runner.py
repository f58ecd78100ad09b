"""Runs the rows of a suite one after another, and keeps the tables up to date."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from lightly_core.benchmarking import state
from lightly_core.benchmarking.forking import RowServer, row_server
from lightly_core.benchmarking.measured import Measured, Scores, read_measured
from lightly_core.benchmarking.planning import Plan, plan_rows
from lightly_core.benchmarking.process import Worker, describe_exit
from lightly_core.benchmarking.state import RowFolder
from lightly_core.benchmarking.suite import Row, Suite
from lightly_core.engine.lock import held
from lightly_core.errors import ConfigError, RunInterrupted
from lightly_core.notebook import Table
from lightly_core.progress import Task, progress

Say = Callable[[str], None]


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
    """

    row: Row
    state: Literal["finished", "failed", "interrupted", "waiting"]
    measured: Measured | None = None
    error: str | None = None
    device: str | None = None
    chosen: bool = True

    @property
    def name(self) -> str:
        """Name of the row."""
        return self.row.name

    @property
    def scores(self) -> Scores:
        """Accuracies in [0, 1], those that are not known as None."""
        return self.measured.scores if self.measured is not None else Scores()


class RowResults(Table[RowResult]):
    """Results of rows, shown with their accuracies in percent."""

    header = (
        *("row", "method", "state"),
        *("kNN", "untrained", "linear", "fine-tuned", "minutes", "note"),
    )

    def cells(self, item: RowResult) -> Sequence[object]:
        """Return the accuracies that are known."""
        scores = item.scores
        values = (scores.knn_top1, scores.knn_untrained, scores.linear_top1, scores.finetune_top1)
        minutes = "" if item.measured is None else f"{item.measured.seconds / 60:.1f}"
        shown = ("" if value is None else f"{100 * value:.1f} %" for value in values)
        return (item.name, item.row.method, item.state, *shown, minutes, item.error)


def run_suite(
    suite: Suite,
    *,
    write: Callable[[Sequence[RowResult]], None],
    say: Say,
    blocked_plugins: Sequence[str] = (),
) -> list[RowResult]:
    """Run all chosen rows that have not finished yet.

    Args:
        suite: The rows.
        write: Writes tables and plot; called before the first row and after each that is run.
        say: Reports progress, one line per call.
        blocked_plugins: Plugins that are not loaded.

    Returns:
        One result for each row, in the suite's order. A row that fails stops no other.

    Raises:
        ConfigError: A row cannot run here, or was run with other settings before.
        RunError: Another process runs the same suite.
        RunInterrupted: Ctrl-C; the row that was running has saved.
    """
    folders = {row.name: RowFolder(suite.folder / row.name) for row in suite.rows}
    chosen = [row for row in suite.rows if row.name in suite.chosen]
    changed = _changed(suite, chosen, folders)
    open_rows = [row for row in chosen if row in changed or not folders[row.name].result.is_file()]
    with row_server(open_rows, enabled=suite.fork_rows) as server:
        found = plan_rows(open_rows, blocked_plugins)
        plans = dict(zip((row.name for row in open_rows), found, strict=True))
        refuse_impossible(plans)
        suite.folder.mkdir(parents=True, exist_ok=True)
        with held(suite.folder):
            for row in changed:
                folders[row.name].forget(row)
            write(row_results(suite))
            for row in chosen:
                place = f"[{chosen.index(row) + 1}/{len(chosen)}] {row.name}"
                folder = folders[row.name]
                if folder.result.is_file():
                    say(f"{place}: finished earlier")
                    continue
                try:
                    _run_row(row, folder, plans[row.name], place, say, blocked_plugins, server)
                finally:
                    write(row_results(suite))
    return row_results(suite)


def refuse_impossible(plans: Mapping[str, Plan]) -> None:
    """Raise a ConfigError that names every row that cannot run on this machine."""
    problems = [f"row '{name}': {text}" for name, plan in plans.items() for text in plan.problems]
    if problems:
        raise ConfigError.of(problems)


def row_results(suite: Suite) -> list[RowResult]:
    """Read the results of the rows so far, without rows that were never requested."""
    read = {row.name: _row_result(row, RowFolder(suite.folder / row.name)) for row in suite.rows}
    found = [replace(result, chosen=name in suite.chosen) for name, result in read.items()]
    return RowResults(result for result in found if result.chosen or result.state != "waiting")


def _row_result(row: Row, folder: RowFolder) -> RowResult:
    if folder.changes(row):  # not chosen now, and its results belong to other settings
        return RowResult(row, "waiting")
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


def _changed(suite: Suite, chosen: Sequence[Row], folders: Mapping[str, RowFolder]) -> list[Row]:
    """Return the rows whose settings have changed since they were started."""
    changes = {row.name: folders[row.name].changes(row) for row in chosen}
    if any(changes.values()) and not suite.overwrite:
        lines = [f"  {name}: {text}" for name, texts in changes.items() for text in texts]
        raise ConfigError(
            f"rows in '{suite.folder}' were started with other settings:\n"
            + "\n".join(lines)
            + "\nset them back, choose another out, or set overwrite=true to run these rows again"
        )
    return [row for row in chosen if changes[row.name]]


# --------------------------------------------------------------------------- one row


def _run_row(
    row: Row,
    folder: RowFolder,
    plan: Plan,
    place: str,
    say: Say,
    blocked_plugins: Sequence[str],
    server: RowServer | None,
) -> None:
    how = (
        "evaluating what is trained"
        if folder.trained.is_file()
        else "resuming"
        if folder.interrupted
        else "starting"
    )
    say(
        f"{place}: {how}, {plan.steps} steps of {plan.batch_size} images on {plan.accelerator}, "
        f"log in {folder.log}"
    )
    _write_job(row, folder, blocked_plugins)
    folder.failure.unlink(missing_ok=True)
    command = [sys.executable, "-m", "lightly_core.cli.benchmark_row", str(folder.job)]
    with progress(place, plan.steps, unit="steps", write=say) as task:
        fork = None if server is None else partial(server.fork, folder.job, folder.log)
        worker = Worker(command, folder.log, lambda: _follow(folder, task), fork)
        try:
            code = worker.run()
        finally:
            folder.job.unlink(missing_ok=True)
    if worker.num_stops:
        raise RunInterrupted(f"stopped in row '{row.name}'; the same command resumes it")
    if not (folder.result.is_file() or folder.failure.is_file()):
        state.write(folder.failure, {"error": describe_exit(code)})
    say(f"{place}: {_summary(_row_result(row, folder), folder)}")


def _write_job(row: Row, folder: RowFolder, blocked_plugins: Sequence[str]) -> None:
    """Write the settings for the worker. Only the owner may read them, as URLs hold secrets."""
    settings = state.binding_settings(row)
    state.write(
        folder.settings,
        {"name": row.name, "digest": state.digest(settings), "settings": settings},
    )
    images: dict[str, Any] = {key: row.run[key] for key in ("data", "val_data") if key in row.run}
    start: dict[str, Any] = {}
    if folder.interrupted:
        start = {"resume_interrupted": True}
    elif not folder.trained.is_file():
        folder.sessions.unlink(missing_ok=True)  # of steps that run again
        if folder.run.exists():
            start = {"overwrite": True}
    job = {
        "folder": str(folder.root),
        "blocked_plugins": list(blocked_plugins),
        "run": {**row.run, **start, "out": str(folder.run)},
        "evaluate": None if row.evaluate is None else {**row.evaluate, **images},
    }
    folder.job.unlink(missing_ok=True)
    descriptor = os.open(folder.job, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(job, file)


def _follow(folder: RowFolder, task: Task) -> None:
    """Show the newest step of a row, or that it is evaluated."""
    if folder.trained.is_file():
        task.note = "evaluating"
        task.reach(task.total or 0)
        return
    try:
        logged = json.loads(_last_line(folder.run / "metrics.jsonl"))
    except ValueError:
        return
    task.reach(logged["step"])


def _last_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 10_000))
            return file.read().decode(errors="replace").rstrip().rpartition("\n")[2]
    except OSError:
        return ""


def _summary(result: RowResult, folder: RowFolder) -> str:
    if result.state == "failed":
        first = (result.error or "").partition("\n")[0]
        return f"FAILED: {first}\n  see {folder.log}"
    assert result.measured is not None  # what has finished has been trained
    scores = result.measured.scores
    parts = [
        f"{name} {100 * value:.1f} %"
        for name, value in (
            ("kNN", scores.knn_top1),
            ("untrained", scores.knn_untrained),
            ("linear", scores.linear_top1),
            ("fine-tuned", scores.finetune_top1),
        )
        if value is not None
    ]
    return ", ".join([*parts, f"{result.measured.seconds / 60:.1f} min"])
