"""Standard errors, against closed forms and against samples."""

import math
import random
import statistics

import pytest

from lightly_core.evaluation.uncertainty import (
    error_of_difference,
    known_error,
    percent,
    standard_error,
    too_few_images,
)


def test_the_standard_error_equals_the_closed_form():
    # 0 of 2 correct; with one correct and one wrong answer added: 1 of 4.
    assert standard_error(0.0, 2) == pytest.approx(math.sqrt((1 / 4) * (3 / 4) / 4))
    # 49 of 98: 50 of 100.
    assert standard_error(0.5, 98) == pytest.approx(0.05)


def test_the_standard_error_of_a_difference_equals_the_closed_form():
    # 0 of 2 and 2 of 2 correct; with one of each added: 1 of 4 and 3 of 4.
    assert error_of_difference(0.0, 1.0, 2) == pytest.approx(math.sqrt(2 * (1 / 4) * (3 / 4) / 4))
    # 49 of 98 twice: 50 of 100.
    assert error_of_difference(0.5, 0.5, 98) == pytest.approx(math.sqrt(2 * 0.25 / 100))


def test_the_standard_error_is_the_deviation_of_repeated_samples():
    sample = random.Random(0)
    means = [statistics.fmean(sample.random() < 0.8 for _ in range(200)) for _ in range(500)]
    assert statistics.stdev(means) == pytest.approx(standard_error(0.8, 200), rel=0.1)


def test_texts_leave_out_what_is_not_known():
    assert percent(0.5, known_error(0.5, 98)) == "50.0 ± 5.0 %"
    assert percent(0.5, known_error(0.5, None)) == "50.0 %"
    assert percent(None, known_error(None, 98)) == ""


@pytest.mark.parametrize(("num_images", "few"), [(98, True), (4_000, True), (10_000, False)])
def test_too_few_images_are_called_so(num_images, few):
    # Two standard errors of a difference are 2 * sqrt(0.5 / n): 2 points of 5,000 images.
    text = too_few_images(0.5, num_images)
    assert bool(text) is few
    if num_images == 98:
        assert text.startswith("98 classified images are too few to tell differences below 14.1 ")
