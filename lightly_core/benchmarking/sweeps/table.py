"""The trials of a sweep as a table: ``trials.csv``, and a section of ``results.md``."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightly_core.atomic import atomic_path
from lightly_core.benchmarking.files import BEST_FILE, TRIALS_FILE
from lightly_core.benchmarking.sweeps.best import write_best
from lightly_core.benchmarking.sweeps.space import shown
from lightly_core.benchmarking.sweeps.sweep import Sweep
from lightly_core.benchmarking.sweeps.trial import Trial

if TYPE_CHECKING:
    from lightly_core.benchmarking.results import RowResult


def write_sweep(result: RowResult, folder: Path) -> None:
    """Write the files of a sweep, if the row has one: its trials and the settings of the best."""
    sweep, best = result.row.sweep, result.best
    if sweep is None or not result.trials:
        return
    write_trials(sweep, result.trials, folder / TRIALS_FILE)
    if best is not None:
        metric = f"{sweep.args.metric} {best.result}"
        note = f"{result.name}/{best.name}, the best of {len(result.trials)} trials: {metric}"
        write_best(result.row, note, folder / BEST_FILE)


def write_trials(sweep: Sweep, trials: Sequence[Trial], path: Path) -> None:
    """Write a line for each trial: its values, its state, its epochs and its metric."""
    names = [parameter.name for parameter in sweep.space.parameters]
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["Trial", *names, "State", "Epochs", sweep.args.metric, "Notes"])
        for trial in trials:
            values = [_raw(trial.values[name]) for name in names]
            note = " ".join((trial.error or "").split())
            writer.writerow(
                [trial.name, *values, trial.state, *_measured(trial, repr(trial.value)), note]
            )


def section(name: str, sweep: Sweep, trials: Sequence[Trial]) -> str:
    """Return a section in Markdown. The best trial is the first, those without a value the last.

    Args:
        name: Name of the row.
        sweep: The sweep.
        trials: Its trials.
    """
    names = [parameter.name for parameter in sweep.space.parameters]
    rows = [["Trial", *names, "State", "Epochs", sweep.args.metric]]
    rows.append(["---"] * len(rows[0]))
    for trial in _ranked(sweep, trials):
        values = [shown(trial.values[name]) for name in names]
        rows.append([trial.name, *values, trial.state, *_measured(trial, trial.result)])
    table = "\n".join(f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows)
    space = "\n".join(f"- {parameter}" for parameter in sweep.space.parameters)
    return f"## Sweep {name}\n\n{sweep}\n\n{space}\n\n{table}"


def counts(trials: Sequence[Trial]) -> str:
    """Return how many trials have which state, such as ``7 finished, 3 pruned``."""
    states = ("finished", "pruned", "failed", "started")
    found = {state: sum(trial.state == state for trial in trials) for state in states}
    return ", ".join(f"{count} {state}" for state, count in found.items() if count)


def _ranked(sweep: Sweep, trials: Sequence[Trial]) -> Iterator[Trial]:
    sign = -1.0 if sweep.maximize else 1.0
    yield from sorted(
        (trial for trial in trials if trial.state == "finished"),
        key=lambda trial: sign * (trial.value or 0.0),
    )
    yield from (trial for trial in trials if trial.state != "finished")


def _measured(trial: Trial, text: str) -> list[str]:
    """Return the epochs and the text of the value; empty where there is none."""
    return ["", ""] if trial.value is None else [str(trial.points[-1][0]), text]


def _raw(value: object) -> str:
    """Return a value for programs: numbers and words as they are, all else in JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|") or "-"
