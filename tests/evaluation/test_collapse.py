import pytest

from lightly_core.evaluation.collapse import FREE_STD_LIMIT, Kind, find_collapse
from lightly_core.evaluation.signals import Signals


def series(*measurements, num_images=512):
    """Measurements as pairs of standard deviation and effective dimensions."""
    return [Signals(std, 5.0, directions, num_images, 32) for std, directions in measurements]


def test_all_images_alike():
    found = find_collapse(series((0.21, 8.6), (0.09, 8.4), (0.019, 9.3)))
    assert found.kind is Kind.COMPLETE
    assert "0.019" in found.text
    assert "0.210" in found.text
    assert "all images get nearly the same" in found.text


def test_one_dimension_left_while_the_spread_grows():
    found = find_collapse(series((0.10, 7.3), (0.28, 1.4)))
    assert found.kind is Kind.DIMENSIONAL
    assert "of their 32 dimensions only about 1.4" in found.text


@pytest.mark.parametrize("kind", [(0.0, 5.0), (0.2, 0.0)])
def test_dead_features_are_a_collapse(kind):
    assert find_collapse(series((0.1, 7.0), kind)) is not None


@pytest.mark.parametrize(
    "measurements",
    [
        [(0.01, 1.2)],  # an untrained network
        [(0.01, 1.2), (0.012, 1.1)],  # and one that has hardly moved
        [(0.01, 1.2), (0.2, 6.0), (0.3, 9.0)],
        [(0.30, 12.0), (0.12, 6.0)],  # less than at first, but plenty
        [(0.09, 3.0), (0.04, 3.0)],  # small, but it was never large
        [(0.30, 8.6), (0.49, 2.7)],  # the second epoch of a healthy distillation
        [(0.2, 3.0), (0.2, 1.5)],  # few dimensions, but never many
        [(0.2, 6.5), (0.3, 3.2)],  # half of them
    ],
)
def test_neither_untrained_nor_healthy_features_are_reported(measurements):
    assert find_collapse(series(*measurements)) is None


def test_a_collapse_after_learning_is_measured_against_the_best_so_far():
    assert find_collapse(series((0.03, 3.0), (0.3, 9.0), (0.02, 9.0))).kind is Kind.COMPLETE


def test_a_collapse_lasts_until_the_features_have_clearly_recovered():
    measurements = [(0.21, 8.6), (0.06, 8.0), (0.08, 8.0), (0.10, 8.0), (0.08, 8.0)]
    kinds = [
        find_collapse(series(*measurements[: end + 1])) is not None
        for end in range(len(measurements))
    ]
    assert kinds == [False, True, True, False, False]


def test_one_way_of_collapse_may_follow_the_other():
    assert find_collapse(series((0.2, 9.0), (0.3, 1.3), (0.01, 1.3))).kind is Kind.COMPLETE


def test_too_few_images_say_nothing():
    assert find_collapse(series((0.21, 8.6), (0.001, 1.0), num_images=31)) is None
    assert find_collapse([]) is None


def test_where_the_loss_leaves_the_spread_free_only_a_tiny_one_is_reported():
    measurements = series((0.223, 3.0), (0.010, 3.0))
    assert find_collapse(measurements).kind is Kind.COMPLETE
    assert find_collapse(measurements, FREE_STD_LIMIT) is None
    gone = series((0.107, 3.0), (0.001, 3.0))
    assert find_collapse(gone, FREE_STD_LIMIT).kind is Kind.COMPLETE
    line = series((0.107, 8.0), (0.107, 1.2))
    assert find_collapse(line, FREE_STD_LIMIT).kind is Kind.DIMENSIONAL
