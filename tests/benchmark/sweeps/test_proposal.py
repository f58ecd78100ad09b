import statistics

import pytest

from lightly_core.benchmarking.sweeps.proposal import propose
from lightly_core.benchmarking.sweeps.space import read_space
from lightly_core.benchmarking.sweeps.trial import Trial


def space_of(**given):
    return read_space(given)[0]


X = space_of(x={"low": 0.0, "high": 1.0})


def told(space, sampler, seed, count, outcome, *, maximize=True):
    """Ask and tell; `outcome(values)` is the value of a trial."""
    trials = []
    for number in range(count):
        values = propose(space, sampler, seed, trials, number, maximize=maximize)
        points = ((1, outcome(values)),)
        trials.append(Trial(number=number, values=values, state="finished", points=points))
    return [trial.values for trial in trials]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_seed_fixes_the_values_and_each_trial_draws_its_own(sampler):
    first = told(X, sampler, 0, 14, lambda values: values["x"])
    assert told(X, sampler, 0, 14, lambda values: values["x"]) == first
    assert told(X, sampler, 1, 14, lambda values: values["x"]) != first
    assert len({values["x"] for values in first}) == 14


@pytest.mark.parametrize("maximize", [True, False])
def test_tpe_moves_to_the_better_end(maximize):
    later = [v["x"] for v in told(X, "tpe", 0, 25, lambda v: v["x"], maximize=maximize)][12:]
    mean = statistics.mean(later)
    assert mean > 0.7 if maximize else mean < 0.3


def test_tpe_leaves_the_values_whose_trials_fail():
    failed = [
        Trial(number=number, values={"x": 0.5 + number / 40}, state="failed")
        for number in range(1, 21)
    ]
    trials = [Trial(number=0, values={"x": 0.5}, state="finished", points=((1, 0.1),)), *failed]
    proposed = [propose(X, "tpe", 0, trials, number, maximize=True)["x"] for number in range(30)]
    # Half of them are larger if the failed trials are left out.
    assert max(proposed) < 0.55


def test_every_kind_of_value_is_of_the_space():
    space = space_of(
        lr={"low": 1e-4, "high": 1.0, "log": True},
        epochs={"low": 2, "high": 10, "step": 4},
        temperature={"low": 0.1, "high": 0.4, "step": 0.1},
        model=["a/b", "c/d"],
        blur=[False, None, {"sigma": [0.1, 2.0]}],
    )
    found = told(space, "random", 0, 30, lambda values: 0.0)
    assert all(1e-4 <= values["lr"] <= 1 for values in found)
    assert sum(values["lr"] < 1e-2 for values in found) > 8  # half of them: it is log
    assert {values["epochs"] for values in found} == {2, 6, 10}
    assert all(type(values["epochs"]) is int for values in found)
    assert {round(values["temperature"], 9) for values in found} == {0.1, 0.2, 0.3, 0.4}
    assert {values["model"] for values in found} == {"a/b", "c/d"}
    assert {repr(values["blur"]) for values in found} == {"False", "None", "{'sigma': [0.1, 2.0]}"}


def test_no_combination_is_tried_twice():
    space = space_of(a=[1, 2], b=[True, False])
    found = told(space, "random", 0, 4, lambda values: 0.0)
    assert len({repr(values) for values in found}) == 4
