import math

import numpy as np
import pytest
import torch

from lightly_core.config.options.augmentations import (
    ColorJitterArgs,
    GaussianBlurArgs,
    SolarizeArgs,
)
from lightly_core.config.options.transform import ViewSpec
from lightly_core.data.views.parameters import (
    NUM_SLOTS,
    Slot,
    ViewParameters,
    neutral,
    sample,
    with_channels,
)


def spec(prob, **changes):
    groups = {
        "color_jitter": ColorJitterArgs(prob=prob, strength=0.5),
        "random_gray_scale": prob,
        "gaussian_blur": GaussianBlurArgs(prob=prob),
        "solarize": SolarizeArgs(prob=prob, threshold=0.25),
    }
    return ViewSpec(size=(8, 8), **{**groups, **changes})


def samples(view, seed, number=2000, **options):
    rng = np.random.default_rng(seed)
    return np.stack([sample(view, rng, **options) for _ in range(number)])


ON = [Slot.JITTER_ON, Slot.GRAY_ON, Slot.BLUR_ON, Slot.SOLARIZE_ON]


@pytest.mark.parametrize("prob", [0.0, 0.2, 0.8, 1.0])
def test_changes_come_as_often_as_asked(prob):
    fractions = samples(spec(prob), seed=0)[:, ON].mean(axis=0)
    # Four standard errors; none at 0 and 1, where it must be exact.
    np.testing.assert_allclose(fractions, prob, atol=4 * math.sqrt(prob * (1 - prob) / 2000))


def test_factors_are_uniform_between_their_limits():
    vectors = samples(
        spec(1.0, gaussian_blur=GaussianBlurArgs(prob=1.0, sigmas=(0.5, 1.5))), seed=1
    )
    # Jitter: strength 0.5 of 0.8, 0.8, 0.8 and 0.2.
    for slot, low, high in (
        (Slot.BRIGHTNESS, 0.6, 1.4),
        (Slot.CONTRAST, 0.6, 1.4),
        (Slot.SATURATION, 0.6, 1.4),
        (Slot.HUE, -0.1, 0.1),
        (Slot.BLUR_SIGMA, 0.5, 1.5),
    ):
        quantiles = np.quantile(vectors[:, slot], [0, 0.25, 0.5, 0.75, 1])
        width = high - low
        np.testing.assert_allclose(quantiles, np.linspace(low, high, 5), atol=0.05 * width)
        assert low <= quantiles[0]
        assert quantiles[-1] <= high + 1e-6


def test_factors_do_not_become_negative():
    vectors = samples(spec(1.0, color_jitter=ColorJitterArgs(prob=1.0, brightness=3.0)), seed=2)
    assert vectors[:, Slot.BRIGHTNESS].min() >= 0
    assert vectors[:, Slot.BRIGHTNESS].max() == pytest.approx(4, abs=0.02)


def test_all_24_orders_come_equally_often():
    vectors = samples(spec(1.0), seed=3, number=4800)
    orders, counts = np.unique(vectors[:, Slot.ORDER : Slot.ORDER + 4], axis=0, return_counts=True)
    assert len(orders) == 24
    np.testing.assert_allclose(counts, 200, atol=60)  # four standard errors


def test_slots_of_changes_that_are_off_stay_neutral():
    view = spec(0.0)
    np.testing.assert_array_equal(sample(view, np.random.default_rng(0)), neutral())
    nothing = ViewSpec(size=(8, 8))
    np.testing.assert_array_equal(sample(nothing, np.random.default_rng(0)), neutral())


def test_without_rgb_colour_changes_stay_neutral():
    vectors = samples(spec(1.0), seed=4, number=20, rgb=False)
    assert (vectors[:, Slot.SATURATION] == 1).all()
    assert (vectors[:, [Slot.HUE, Slot.GRAY_ON]] == 0).all()
    assert (vectors[:, Slot.BRIGHTNESS] != 1).all()
    assert (vectors[:, Slot.SOLARIZE_ON] == 1).all()


@pytest.mark.parametrize(
    ("blur_limit", "sizes"),
    [(0, {0}), ((0, 0), {0}), (7, {7}), ((3, 8), {3, 5, 7}), ((0, 5), {3, 5}), ((1, 2), {1})],
)
def test_blur_limit_is_a_kernel_size_or_a_range(blur_limit, sizes):
    blur = GaussianBlurArgs(prob=1.0, blur_limit=blur_limit)
    sampled = samples(spec(1.0, gaussian_blur=blur), seed=5, number=60)
    assert set(sampled[:, Slot.BLUR_SIZE]) == sizes


@pytest.mark.parametrize("blur_limit", [4, -3, (4, 4), (7, 3)])
def test_blur_limits_without_an_odd_size_are_refused(blur_limit):
    with pytest.raises(ValueError, match="blur_limit"):
        GaussianBlurArgs(blur_limit=blur_limit)


def test_reader_gives_back_what_was_sampled():
    vector = neutral()
    vector[[Slot.JITTER_ON, Slot.GRAY_ON, Slot.BLUR_ON, Slot.SOLARIZE_ON]] = 1
    vector[Slot.ORDER : Slot.ORDER + 4] = (3, 0, 2, 1)
    vector[Slot.BRIGHTNESS : Slot.BRIGHTNESS + 4] = (0.5, 1.0, 1.5, 0.25)
    vector[[Slot.BLUR_SIGMA, Slot.BLUR_SIZE, Slot.SOLARIZE_THRESHOLD]] = (1.25, 7, 0.75)
    rows = np.stack([with_channels(row, (4, 9)) for row in (vector, neutral())])
    reader = ViewParameters(torch.from_numpy(rows))
    switches = (Slot.JITTER_ON, Slot.GRAY_ON, Slot.BLUR_ON, Slot.SOLARIZE_ON)
    assert all(reader.is_on(slot).tolist() == [True, False] for slot in switches)
    assert reader.order().tolist() == [[3, 0, 2, 1], [0, 1, 2, 3]]
    assert reader.factors().tolist() == [[0.5, 1.0, 1.5, 0.25], [1.0, 1.0, 1.0, 0.0]]
    assert reader.numbers[0, Slot.BLUR_SIGMA] == 1.25
    assert reader.kept_channels().tolist() == [[4, 9], [4, 9]]


def test_slots_do_not_overlap():
    assert Slot.BRIGHTNESS - Slot.ORDER == 4
    assert max(Slot) + 1 == NUM_SLOTS == len(neutral())
    assert neutral().dtype == np.float32
