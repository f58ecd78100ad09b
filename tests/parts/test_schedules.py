import math
from itertools import pairwise

import pytest

from lightly_core.parts.schedules import (
    capped_warmup,
    cosine,
    linear,
    scheduled,
    teacher_temperature,
    warmup_cosine,
)


@pytest.mark.parametrize("schedule", [cosine, linear])
@pytest.mark.parametrize(("start", "end"), [(0.996, 1.0), (0.04, 0.4), (1.0, 0.0)])
def test_schedules_meet_both_ends_and_the_middle(schedule, start, end):
    values = [schedule(step, start, end, 11) for step in range(11)]
    assert values[0] == pytest.approx(start)
    assert values[5] == pytest.approx((start + end) / 2)
    assert values[10] == end
    assert schedule(12, start, end, 11) == end


def test_linear_goes_in_equal_pieces():
    assert [linear(k, 1.0, 3.0, 5) for k in range(5)] == pytest.approx([1, 1.5, 2, 2.5, 3])


def test_cosine_is_slow_at_the_ends():
    values = [cosine(k, 0.0, 1.0, 5) for k in range(5)]
    assert values == pytest.approx([(1 - math.cos(math.pi * k / 4)) / 2 for k in range(5)])


@pytest.mark.parametrize("schedule", [cosine, linear])
@pytest.mark.parametrize("total", [0, 1])
def test_schedules_of_one_step_are_at_their_end(schedule, total):
    assert schedule(0, 0.5, 2.0, total) == 2.0


@pytest.mark.parametrize("kind", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("warmup_steps", [1, 4, 10])
def test_a_warmup_is_a_straight_line_to_the_start_value(kind, warmup_steps):
    values = [
        scheduled(step, 20, kind=kind, start=3, end=1, warmup_steps=warmup_steps, warmup_start=1)
        for step in range(20)
    ]
    if warmup_steps > 1:
        expected = [1 + 2 * k / (warmup_steps - 1) for k in range(warmup_steps)]
        assert values[:warmup_steps] == pytest.approx(expected)
    assert values[warmup_steps - 1] == pytest.approx(3)
    assert values[warmup_steps] == pytest.approx(3)
    assert values[-1] == pytest.approx(3 if kind == "constant" else 1)


def test_between_start_and_end_it_is_the_named_curve():
    for step in range(9):
        line = scheduled(step, 9, kind="linear", start=2, end=6)
        curve = scheduled(step, 9, kind="cosine", start=2, end=6)
        assert line == pytest.approx(2 + 4 * step / 8)
        assert curve == pytest.approx(6 - 4 * (math.cos(math.pi * step / 8) + 1) / 2)


def test_the_momentum_of_byol_as_its_formula_says():
    # m_k = 1 - (1 - m_0) * (cos(pi k / K) + 1) / 2 with the last step at K.
    for step in range(101):
        expected = 1 - (1 - 0.99) * (math.cos(math.pi * step / 100) + 1) / 2
        assert cosine(step, 0.99, 1.0, 101) == pytest.approx(expected)


def test_a_stretched_schedule_does_not_reach_its_end():
    # MSN: 0.996 to 1 over 1.25 times the steps.
    last = linear(999, 0.996, 1.0, 1.25 * 1000)
    assert last == pytest.approx(0.996 + 0.004 * 999 / 1249)


@pytest.mark.parametrize("total", [0, 1])
def test_runs_without_a_way_to_go_have_the_end_value(total):
    assert scheduled(0, total, kind="cosine", start=1, end=5) == 5


def test_later_steps_keep_the_last_value():
    assert scheduled(500, 20, kind="linear", start=0, end=7) == 7


def test_a_warmup_longer_than_the_run_still_arrives():
    values = [
        scheduled(step, 5, kind="constant", start=2, end=2, warmup_steps=50) for step in range(5)
    ]
    assert values == pytest.approx([0, 0.5, 1, 1.5, 2])


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="'sawtooth'"):
        scheduled(0, 10, kind="sawtooth", start=0, end=1)


@pytest.mark.parametrize(
    ("wanted", "total", "share", "expected"),
    [
        (1250, 125_000, 0.1, 1250),
        (1250, 7_800, 0.1, 780),
        (37_500, 7_800, 0.3, 2340),
        (37_500, 10, 0.3, 3),
        (5, 3, 0.3, 0),
        (5, 0, 0.3, 0),
        (5, 3, 1.0, 3),
        (0, 100, 0.5, 0),
    ],
)
def test_warmups_are_shortened_to_their_share(wanted, total, share, expected):
    assert capped_warmup(wanted, total, share) == expected


@pytest.mark.parametrize("arguments", [(-1, 10, 0.1), (1, -10, 0.1), (1, 10, 1.1), (1, 10, -0.1)])
def test_impossible_warmups_are_refused(arguments):
    with pytest.raises(ValueError, match="wanted >= 0"):
        capped_warmup(*arguments)


def temperature(step, total):
    return teacher_temperature(step, total=total, start=0.04, end=0.07, warmup_steps=37_500)


def test_a_short_run_reaches_its_temperature_within_the_cap():
    assert temperature(0, 7_800) == pytest.approx(0.04)
    assert temperature(2_338, 7_800) < 0.07
    assert temperature(2_339, 7_800) == pytest.approx(0.07)
    assert temperature(7_799, 7_800) == pytest.approx(0.07)


def test_a_long_run_has_the_whole_warmup():
    assert temperature(37_498, 1_000_000) < 0.07
    assert temperature(18_750, 1_000_000) == pytest.approx(0.055, abs=1e-5)
    assert temperature(37_499, 1_000_000) == pytest.approx(0.07)


# ------------------------------------------------------------------- learning rates


def factors(warmup_steps, total_steps, final_fraction=0.1):
    return [
        warmup_cosine(
            step,
            warmup_steps=warmup_steps,
            total_steps=total_steps,
            final_fraction=final_fraction,
        )
        for step in range(total_steps)
    ]


def test_known_values():
    # Two steps of warm-up, then half a cosine over the five that remain: angles 0, 45, ..., 180.
    half = math.sqrt(0.5)
    weights = [1, (1 + half) / 2, 0.5, (1 - half) / 2, 0]
    expected = [0.5, 1.0, *(0.1 + 0.9 * weight for weight in weights)]
    assert factors(2, 7) == pytest.approx(expected)


@pytest.mark.parametrize("warmup_steps", [0, 1, 10, 99])
@pytest.mark.parametrize("final_fraction", [0.0, 0.001, 1.0])
def test_the_last_executed_step_has_exactly_the_final_fraction(warmup_steps, final_fraction):
    assert factors(warmup_steps, 100, final_fraction)[-1] == final_fraction


@pytest.mark.parametrize("warmup_steps", [1, 10, 50])
def test_it_rises_to_the_peak_and_never_again(warmup_steps):
    values = factors(warmup_steps, 100)
    rising, falling = values[:warmup_steps], values[warmup_steps:]
    assert rising == pytest.approx([(k + 1) / warmup_steps for k in range(warmup_steps)])
    assert falling[0] == 1
    assert all(a > b for a, b in pairwise(falling))


def test_without_warmup_it_starts_at_the_peak():
    assert factors(0, 10)[0] == 1


@pytest.mark.parametrize(("warmup_steps", "total_steps"), [(4, 4), (4, 3), (1, 1)])
def test_a_run_no_longer_than_its_warmup_only_rises(warmup_steps, total_steps):
    expected = [(k + 1) / warmup_steps for k in range(total_steps)]
    assert factors(warmup_steps, total_steps) == expected


@pytest.mark.parametrize(
    ("warmup_steps", "total_steps", "expected"),
    [(0, 0, 1.0), (0, 1, 1.0), (5, 0, 1.0), (1, 2, 0.1)],
)
def test_degenerate_lengths_have_a_value(warmup_steps, total_steps, expected):
    last = max(0, total_steps - 1)
    value = warmup_cosine(
        last, warmup_steps=warmup_steps, total_steps=total_steps, final_fraction=0.1
    )
    assert value == pytest.approx(expected)


def test_after_the_end_the_last_value_stays():
    values = [
        warmup_cosine(step, warmup_steps=2, total_steps=10, final_fraction=0.25)
        for step in (9, 10, 11, 1000)
    ]
    assert values == [0.25] * 4


@pytest.mark.parametrize("warmup_steps", [0, 1, 7])
def test_a_learning_rate_differs_from_other_schedules_in_its_rise_alone(warmup_steps):
    def other(step, warmup_start):
        return scheduled(
            step,
            20,
            kind="cosine",
            start=1.0,
            end=0.1,
            warmup_steps=warmup_steps,
            warmup_start=warmup_start,
        )

    values = factors(warmup_steps, 20)
    assert values == [other(step, None) for step in range(20)]
    from_zero = [other(step, 0.0) for step in range(20)]
    assert values[warmup_steps:] == from_zero[warmup_steps:]
    if warmup_steps > 1:
        assert (values[0], from_zero[0]) == (1 / warmup_steps, 0.0)
