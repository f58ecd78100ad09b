import itertools

import pytest

from lightly_core.benchmarking.sweeps.space import nested, read_space


def space_of(**given):
    space, problems = read_space(given)
    assert problems == []
    return space


def test_names_are_read_as_one_word_and_as_tables():
    as_words = {"optim_args.lr": {"low": 0.1, "high": 1.0}, "batch_size": [64, 128]}
    as_tables = {"optim_args": {"lr": {"low": 0.1, "high": 1.0}}, "batch_size": [64, 128]}
    assert read_space(as_words) == read_space(as_tables)
    assert nested(read_space(as_words)[0].first()) == {
        "optim_args": {"lr": 0.1},
        "batch_size": 64,
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.1, "sweep.space.a: expected a list of values or a range"),
        ([], "got an empty list"),
        ([1, 2, 1], "sweep.space.a: 1 (int) is in the list twice"),
        ({"low": 1}, "sweep.space.a.high: required, but missing"),
        ({"lo": 1, "high": 2}, "unknown key 'lo', did you mean 'low'?"),
        ({"low": 2, "high": 1}, "'low' must be below 'high', got 2 and 1"),
        ({"low": 0, "high": 1, "log": True}, "'low' must be > 0 with log = true, got 0"),
        ({"low": 1, "high": 3, "log": True, "step": 1}, "give either 'log' or 'step'"),
        ({"low": 0.1, "high": 0.5, "step": 0.3}, "got 0.5; the last value is 0.4"),
        ({"low": 1, "high": 2, "step": 0}, "must be > 0"),
        ({"low": 1, "high": float("inf")}, "must be a finite number"),
        ({"b": 1}, "sweep.space.a.b: expected a list"),
    ],
)
def test_wrong_spaces_are_refused(value, expected):
    _, problems = read_space({"a": value})
    assert expected in problems[0]


def test_a_setting_that_is_given_twice_is_refused():
    _, problems = read_space({"a.b": [1], "a": {"b": [2]}})
    assert problems == ["sweep.space.a.b: it is given twice"]


def test_values_that_are_equal_in_python_only_are_different():
    assert space_of(a=[1, True, 1.0]).size() == 3


def test_a_grid_is_the_product_of_all_values():
    space = space_of(a=["x", "y"], b={"low": 0.1, "high": 0.3, "step": 0.1}, c=[None, [1, 2]])
    expected = itertools.product(["x", "y"], [0.1, 0.2, 0.3], [None, [1, 2]])
    assert space.grid(12, seed=0) == [dict(zip("abc", values, strict=True)) for values in expected]


def test_a_part_of_a_grid_is_chosen_by_the_seed_and_more_trials_keep_it():
    space = space_of(a=list(range(10)), b=list(range(10)))
    few = space.grid(8, seed=1)
    assert space.grid(20, seed=1)[:8] == few
    assert space.grid(8, seed=2) != few
    assert len({tuple(values.values()) for values in space.grid(99, seed=1)}) == 99


def test_only_a_range_with_steps_can_be_listed():
    assert space_of(a={"low": 2, "high": 8, "step": 3}).parameters[0].listed() == (2, 5, 8)
    assert space_of(a={"low": 0.1, "high": 1.0}).size() is None
    assert space_of(a={"low": 1, "high": 8, "log": True}, b=[1]).size() is None
