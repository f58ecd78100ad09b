import math
from itertools import pairwise

import pytest

from lightly_core.optim.schedule import cosine, linear, warmup_cosine


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
