"""Vectorised sampling gives the numbers of NumPy's Generator for each sample."""

import numpy as np
import pytest
from attrs import evolve

from lightly_core.config.options.augmentations import (
    ColorJitterArgs,
    GaussianBlurArgs,
    GlobalView1Args,
    LocalViewArgs,
    RandomFlipArgs,
    RandomResizeArgs,
    SolarizeArgs,
)
from lightly_core.config.options.transform import MultiCropTransformArgs, TransformArgs
from lightly_core.data.reading import sample_rng
from lightly_core.data.views import batch_sampling, parameters
from lightly_core.data.views.batch_sampling import SampledView, ViewSampler
from lightly_core.data.views.geometry import sample_geometry
from lightly_core.data.views.streams import Streams, sample_words

KEYS = [(epoch, index) for epoch in (0, 3) for index in range(0, 3000, 25)]


def generators():
    return [sample_rng(7, *key) for key in KEYS]


def streams(num_words=80):
    return Streams(sample_words(7, KEYS, num_words))


# ------------------------------------------------------------------ single numbers


def test_words_are_those_of_the_bit_generator():
    expected = [generator.bit_generator.random_raw(5) for generator in generators()]
    np.testing.assert_array_equal(sample_words(7, KEYS, 5), expected)


def test_all_kinds_of_draws_in_turn_equal_those_of_generator():
    ours, rows = streams(), np.arange(len(KEYS))
    theirs = generators()
    for high in (5, 1, 33, 2):
        sampled = ours.integers(np.full(len(rows), high), rows)
        assert sampled.tolist() == [generator.integers(high) for generator in theirs]
        assert ours.random(rows).tolist() == [generator.random() for generator in theirs]
        sampled = ours.permutations(4, rows)
        np.testing.assert_array_equal(sampled, [generator.permutation(4) for generator in theirs])
    assert not ours.doubtful.any()


def test_only_the_chosen_rows_are_sampled():
    ours, theirs = streams(), generators()
    some = np.arange(0, len(KEYS), 3)
    assert ours.integers(np.full(len(some), 9), some).tolist() == [
        theirs[row].integers(9) for row in some
    ]
    every = ours.integers(np.full(len(KEYS), 9), np.arange(len(KEYS)))
    assert every.tolist() == [generator.integers(9) for generator in theirs]


def test_rejected_draws_are_noticed():
    ours, high = streams(), 3 << 29  # Generator rejects every third sample
    sampled = ours.integers(np.full(len(KEYS), high), np.arange(len(KEYS)))
    expected = np.array([generator.integers(high) for generator in generators()])
    assert np.array_equal(sampled[~ours.doubtful], expected[~ours.doubtful])
    assert (sampled != expected).any()


# ------------------------------------------------------------------ whole views

SIMCLR = TransformArgs(image_size=32, num_views=2)
SPECS = {
    "two views": SIMCLR,
    "local and unequal views": MultiCropTransformArgs(
        image_size=32,
        solarize=SolarizeArgs(),
        global_view_1=GlobalView1Args(gaussian_blur=GaussianBlurArgs(blur_limit=(3, 9))),
        local_view=LocalViewArgs(view_size=16, num_views=3),
    ),
    "rare crops": evolve(
        SIMCLR, random_resize=RandomResizeArgs(min_scale=0.9, min_ratio=0.5, max_ratio=2.0)
    ),
    "impossible crops": evolve(
        SIMCLR,
        random_resize=RandomResizeArgs(min_scale=1.0, max_scale=1.0, min_ratio=1.5, max_ratio=1.6),
    ),
    "nothing": TransformArgs(
        random_resize=None,
        random_flip=None,
        color_jitter=None,
        random_gray_scale=None,
        gaussian_blur=None,
    ),
    "everything always": evolve(
        SIMCLR,
        random_flip=RandomFlipArgs(horizontal_prob=0.3, vertical_prob=0.6),
        color_jitter=ColorJitterArgs(prob=1.0, strength=0.3),
        gaussian_blur=GaussianBlurArgs(prob=1.0, blur_limit=7),
        random_gray_scale=1.0,
        solarize=SolarizeArgs(prob=1.0, threshold=0.3),
    ),
}


def view_sampler(args, size, rgb):
    return ViewSampler(args.view_specs(), size, rgb=rgb, seed=7, make_generator=sample_rng)


def check(views, args, size, rgb):
    """Compare with the numbers of the worker."""
    for row, key in enumerate(KEYS):
        rng = sample_rng(7, *key)
        for spec, view in zip(args.view_specs(), views, strict=True):
            geometry = sample_geometry(spec, *size, rng)
            assert tuple(view.boxes[row]) == geometry.box
            assert bool(view.mirror[row]) == geometry.mirror
            assert bool(view.upside_down[row]) == geometry.upside_down
            vector = parameters.sample(spec, rng, rgb=rgb)
            assert vector.tobytes() == view.vectors[row].tobytes()


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize(("size", "rgb"), [((32, 32), True), ((20, 33), False), ((3, 60), True)])
def test_views_are_sampled_as_in_the_worker(name, size, rgb):
    sampler = view_sampler(SPECS[name], size, rgb)
    assert sampler.vectorised
    check(sampler.sample(KEYS), SPECS[name], size, rgb)


def test_crops_whose_sides_might_be_rounded_either_way_are_left_to_the_worker():
    fraction = 20.5**2 / 32**2
    resize = RandomResizeArgs(min_scale=fraction, max_scale=fraction, min_ratio=1.0, max_ratio=1.0)
    args = evolve(SIMCLR, random_resize=resize)
    sampler = view_sampler(args, (32, 32), True)
    _, doubtful = sampler._sample_vectorised(KEYS)
    assert doubtful.all()
    check(sampler.sample(KEYS), args, (32, 32), True)


def test_another_numpy_that_draws_otherwise_is_noticed(monkeypatch):
    monkeypatch.setattr(batch_sampling, "_vectorised", {})
    right = Streams.permutations
    monkeypatch.setattr(Streams, "permutations", lambda *args: right(*args)[:, ::-1])
    sampler = view_sampler(SIMCLR, (32, 32), True)
    assert not sampler.vectorised
    check(sampler.sample(KEYS), SIMCLR, (32, 32), True)


# ------------------------------------------------------------------ rows of a view


def sampled_view(start):
    """Three images whose numbers all differ from those of another start."""
    return SampledView(
        np.arange(12).reshape(3, 4) + start,
        np.array([start % 2 == 0] * 3),
        np.array([start % 2 == 1] * 3),
        np.arange(6, dtype=np.float32).reshape(3, 2) + start,
    )


@pytest.mark.parametrize("name", ["boxes", "mirror", "upside_down", "vectors"])
def test_rows_are_equal_only_if_all_their_numbers_are(name):
    one, other = sampled_view(0), sampled_view(0)
    rows = np.array([0, 2])
    assert one.equals(other, rows)
    getattr(other, name)[1] = getattr(sampled_view(1), name)[1]
    assert one.equals(other, rows)  # the row that was not requested
    getattr(other, name)[2] = getattr(sampled_view(1), name)[2]
    assert not one.equals(other, rows)


def test_all_numbers_of_the_chosen_rows_are_copied_and_no_others():
    found, rows = sampled_view(0), np.array([0, 2])
    found.copy_rows(rows, SampledView(*(values[:2] for values in vars(sampled_view(1)).values())))
    for name, values in vars(found).items():
        expected = getattr(sampled_view(0), name)
        expected[rows] = getattr(sampled_view(1), name)[:2]
        np.testing.assert_array_equal(values, expected)
