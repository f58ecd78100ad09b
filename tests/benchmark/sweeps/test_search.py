from types import SimpleNamespace

import pytest

from lightly_core.benchmarking.sweeps.search import Search
from lightly_core.benchmarking.sweeps.trial import read_trials
from lightly_core.engine.lock import held
from lightly_core.errors import ConfigError, RunError

SPACE = {"x": {"low": 0.0, "high": 1.0}}


def curve(values):
    """Rise to 1 - (x - 0.7)^2."""
    return [(1 - (values["x"] - 0.7) ** 2) * part for part in (0.5, 0.8, 0.9, 1.0)]


def files_of(folder):
    return {path.parent.name: path.read_text() for path in folder.glob("trial-*/trial.json")}


@pytest.fixture
def sweep(sweep_of):
    return sweep_of(SPACE, num_trials=12, startup_trials=2)


def test_bad_trials_are_stopped_and_the_best_is_near_the_optimum(sweep, search_in, tmp_path):
    trials = search_in(sweep, tmp_path, curve)
    assert [trial.number for trial in trials] == list(range(12))
    states = [trial.state for trial in trials]
    assert min(states.count("pruned"), states.count("finished")) > 2
    best = sweep.best(trials)
    assert abs(best.values["x"] - 0.7) == min(abs(trial.values["x"] - 0.7) for trial in trials)
    assert best.value == curve(best.values)[-1]
    assert read_trials(tmp_path) == trials
    pruned = next(trial for trial in trials if trial.state == "pruned")
    assert pruned.points == tuple(enumerate(curve(pruned.values), start=1))[: len(pruned.points)]


def test_the_trials_do_not_depend_on_when_measurements_are_looked_at(sweep, search_in, tmp_path):
    search_in(sweep, tmp_path / "at once", curve)
    search_in(sweep, tmp_path / "at the end", curve, looks=False)
    assert files_of(tmp_path / "at once") == files_of(tmp_path / "at the end")


def test_an_interrupted_search_goes_on_with_the_same_trials(sweep, search_in, tmp_path):
    whole = search_in(sweep, tmp_path / "whole", curve)
    epochs = {0: 3, 1: 0, 2: 1, 10: 1, 11: 0}  # after which Ctrl-C stops these trials
    assert search_in(sweep, tmp_path / "again", curve, stop=epochs.get) == whole


def test_more_trials_keep_the_earlier_ones(sweep_of, search_in, tmp_path):
    first = search_in(sweep_of(SPACE, num_trials=4), tmp_path, curve)
    assert search_in(sweep_of(SPACE, num_trials=6), tmp_path, curve)[:4] == first


def test_a_trial_that_ended_unseen_is_not_run_again(sweep, run_trial, tmp_path):
    search = Search(SimpleNamespace(name="s", sweep=sweep), tmp_path)
    run_trial(search.next(), tmp_path, curve)  # the suite is killed before `ended`
    search = Search(SimpleNamespace(name="s", sweep=sweep), tmp_path)
    assert search.next().name == "s/trial-001"
    assert search.trials[0].state == "finished"


def test_a_trial_that_still_runs_is_not_started_again(sweep, tmp_path):
    Search(SimpleNamespace(name="s", sweep=sweep), tmp_path).next()
    search = Search(SimpleNamespace(name="s", sweep=sweep), tmp_path)
    with held(tmp_path / "trial-000"), pytest.raises(RunError, match=r"wait until it has ended"):
        search.next()
    assert search.next().name == "s/trial-000"


def test_failures_are_noted_and_the_search_goes_on(sweep_of, run_trial, tmp_path):
    def make(name, values):
        if values["x"] == 2:
            raise ConfigError("these do not fit")
        return SimpleNamespace(name=name, values=values)

    sweep = sweep_of({"x": [0, 1, 2, 3, 4]}, sampler="grid", num_trials=5)
    object.__setattr__(sweep, "make", make)
    search = Search(SimpleNamespace(name="s", sweep=sweep), tmp_path)

    row = search.next()
    search.ended(SimpleNamespace(name=row.name, state="failed", error="out of memory"))
    row = search.next()
    run_trial(row, tmp_path, lambda values: [])
    (tmp_path / "trial-001/result.json").write_text("{}")
    (tmp_path / "trial-001/run/metrics.jsonl").write_text('{"step": 5, "train_loss": 1}\n')
    search.ended(SimpleNamespace(name=row.name, state="finished", error=None))
    row = search.next()
    assert row.name == "s/trial-003"  # the one before it was refused
    search.ended(run_trial(row, tmp_path, lambda values: [0.5, 0.5, 0.5, None]))
    search.ended(run_trial(search.next(), tmp_path, lambda values: [0.1] * 4))
    assert search.done
    assert [(trial.state, trial.error) for trial in search.trials] == [
        ("failed", "out of memory"),
        ("failed", "it logged no 'knn/top1' after its first step; it logged: train_loss"),
        ("failed", "these do not fit"),
        ("failed", "'knn/top1' is not finite"),
        ("finished", None),
    ]
    assert sweep.best(search.trials).number == 4


def test_several_trials_at_once_are_all_different(sweep_of, tmp_path):
    sweep = sweep_of(SPACE, trials_at_once=3)
    search = Search(SimpleNamespace(name="s", sweep=sweep), tmp_path)
    rows = [search.next() for _ in range(4)]
    assert [row and row.name for row in rows] == ["s/trial-000", "s/trial-001", "s/trial-002", None]
    assert len({row.values["x"] for row in rows[:3]}) == 3
