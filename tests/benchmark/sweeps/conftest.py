"""A sweep whose trials are computed in closed form, in place of runs."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from lightly_core.benchmarking import state
from lightly_core.benchmarking.sweeps.search import Search
from lightly_core.benchmarking.sweeps.space import read_space
from lightly_core.benchmarking.sweeps.sweep import Sweep
from lightly_core.config.options.sweep import SweepArgs

STEPS_PER_EPOCH = 5
EPOCHS = 4


def row_of(name, values):
    return SimpleNamespace(name=name, values=values)


@pytest.fixture
def sweep_of():
    """Make a sweep from its space and options; by default Optuna chooses among 8 trials."""

    def make(space, *, sampler="tpe", num_trials=8, maximize=True, **options):
        read, problems = read_space(space)
        assert problems == []
        return Sweep(
            args=SweepArgs(space=space, **options),
            space=read,
            sampler=sampler,
            num_trials=num_trials,
            maximize=maximize,
            probes=(),
            make=row_of,
        )

    return make


@pytest.fixture
def run_trial():
    """Write what the run of a trial writes: a value for each epoch, from `curve(values)`."""

    def run(row, folder, curve, *, epochs=EPOCHS, look=lambda: ()):
        run = folder / row.name.partition("/")[2] / "run"
        run.mkdir(parents=True, exist_ok=True)
        derived = {"steps_per_epoch": STEPS_PER_EPOCH, "total_steps": EPOCHS * STEPS_PER_EPOCH}
        state.write(run / "config.json", {"derived": derived})
        lines = [{"step": 0, "knn/top1": 0.0}]
        for epoch, value in enumerate(curve(row.values)[:epochs], start=1):
            lines += [{"step": STEPS_PER_EPOCH * epoch - 2, "train_loss": 1.0}]
            lines += [{"step": STEPS_PER_EPOCH * epoch, "knn/top1": value}]
            (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
            if row.name in look():
                return SimpleNamespace(name=row.name, state="interrupted", error=None)
        if epochs < EPOCHS:
            return SimpleNamespace(name=row.name, state="interrupted", error=None)
        state.write(run.parent / "result.json", {})
        return SimpleNamespace(name=row.name, state="finished", error=None)

    return run


@pytest.fixture
def search_in(sweep_of, run_trial):
    """Run a whole sweep in a folder and return its trials.

    `looks`: whether measurements are looked at while a trial runs. `stop(number)`: epochs after
    which Ctrl-C stops this trial, and with it the search, which then goes on in a new process.
    """

    def run(sweep, folder, curve, *, looks=True, stop=lambda number: None):
        stopped = set()
        while True:
            search = Search(SimpleNamespace(name="s", sweep=sweep), folder)
            while (row := search.next()) is not None:
                number = int(row.name[-3:])
                epochs = stop(number) if number not in stopped else None
                stopped.add(number)
                look = search.to_stop if looks else lambda: ()
                search.ended(
                    run_trial(row, folder, curve, epochs=EPOCHS if epochs is None else epochs,
                              look=look)
                )  # fmt: skip
                if epochs is not None:
                    break
            if search.done:
                return search.trials

    return run
