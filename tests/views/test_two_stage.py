import logging
import pickle

import numpy as np
import pytest
import torch
from attrs import evolve
from both_stages import run
from PIL import Image
from torchvision.transforms.v2 import functional as reference

from lightly_core.config.options.augmentations import (
    ChannelDropArgs,
    ColorJitterArgs,
    GaussianBlurArgs,
    GlobalView1Args,
    LocalViewArgs,
    NormalizeArgs,
    RandomFlipArgs,
    RandomResizeArgs,
    RandomRotationArgs,
    SolarizeArgs,
)
from lightly_core.config.options.transform import MultiCropTransformArgs, TransformArgs
from lightly_core.data.views.two_stage import (
    EvalTransform,
    TwoStageTransform,
)

OFF = TransformArgs(
    image_size=24,
    random_resize=None,
    random_flip=None,
    color_jitter=None,
    random_gray_scale=None,
    gaussian_blur=None,
)


# --------------------------------------------------------------------------- training views


def test_all_off_is_resize_and_normalise(photo):
    (view,) = run(TwoStageTransform(OFF, resampler="pillow"), [photo])
    resized = photo.resize((24, 24), Image.Resampling.BICUBIC)
    scaled = reference.to_dtype(reference.pil_to_tensor(resized), torch.float32, scale=True)
    expected = reference.normalize(scaled, list(OFF.normalize.mean), list(OFF.normalize.std))
    torch.testing.assert_close(view[0], expected, rtol=0, atol=1e-6)


def test_the_seed_decides_all(photo):
    transform = TwoStageTransform(TransformArgs(image_size=24, num_views=2))
    first, again, other = (run(transform, [photo], seed) for seed in (7, 7, 8))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_global_random_state_is_neither_used_nor_changed(photo):
    transform = TwoStageTransform(TransformArgs(image_size=24))
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = run(transform, [photo])
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert torch.equal(first[0], run(transform, [photo])[0])


def test_images_and_views_of_a_batch_get_changes_of_their_own(photo):
    args = evolve(OFF, num_views=2, color_jitter=ColorJitterArgs(prob=1.0))
    first, second = run(TwoStageTransform(args), [photo, photo])
    assert not torch.allclose(first[0], first[1], atol=0.05)
    assert not torch.allclose(first[0], second[0], atol=0.05)


def test_a_sample_holds_plain_bytes_and_its_index(photo):
    transform = TwoStageTransform(TransformArgs(image_size=(20, 28), num_views=2))
    sample = transform.sample(photo, np.random.default_rng(0), 41)
    assert sample.index == 41
    assert [(v.dtype, tuple(v.shape)) for v in sample.views] == [(torch.uint8, (3, 20, 28))] * 2
    assert [v.dtype for v in sample.parameters] == [torch.float32] * 2


def test_arrays_and_pillow_images_give_the_same_views(photo):
    transform = TwoStageTransform(TransformArgs(image_size=24))
    assert torch.equal(run(transform, [photo])[0], run(transform, [np.asarray(photo)])[0])


def test_multi_crop_gives_global_and_local_sizes(photo):
    args = MultiCropTransformArgs(
        image_size=24, local_view=LocalViewArgs(num_views=3, view_size=(10, 12))
    )
    views = run(TwoStageTransform(args), [photo, photo])
    sizes = [tuple(view.shape) for view in views]
    assert sizes == [(2, 3, 24, 24)] * 2 + [(2, 3, 10, 12)] * 3


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (3000, 2500)])
def test_tiny_huge_and_thin_images_work(shape):
    image = Image.fromarray(np.full((*shape, 3), 100, dtype=np.uint8))
    args = TransformArgs(
        image_size=24, random_rotation=RandomRotationArgs(), solarize=SolarizeArgs(prob=0.0)
    )
    (view,) = run(TwoStageTransform(args), [image, image])
    assert view.shape == (2, 3, 24, 24)
    assert view.isfinite().all()


def test_a_view_of_one_pixel_works(photo):
    args = TransformArgs(image_size=1, gaussian_blur=GaussianBlurArgs(prob=1.0))
    assert run(TwoStageTransform(args), [photo])[0].shape == (1, 3, 1, 1)


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_other_channel_counts_work_and_say_once_what_is_off(photo, channels, caplog):
    pixels = np.asarray(photo)[:, :, [0, 1, 2, 0, 1, 2][:channels]]
    args = TransformArgs(image_size=24, num_channels=channels, solarize=SolarizeArgs())
    with caplog.at_level(logging.WARNING):
        transform = TwoStageTransform(args)
        (view,) = run(transform, [pixels, pixels])
    assert view.shape == (2, channels, 24, 24)
    assert transform.num_channels == channels
    assert len(caplog.records) == 1
    for name in ("color_jitter.saturation", "color_jitter.hue", "random_gray_scale"):
        assert name in caplog.text
    assert "solarize" not in caplog.text


def test_rgb_and_groups_that_are_off_bring_no_warning(caplog):
    TwoStageTransform(TransformArgs())
    TwoStageTransform(evolve(OFF, num_channels=4))
    assert not caplog.records


def test_mean_and_std_are_repeated_in_turn():
    args = evolve(
        OFF, num_channels=4, normalize=NormalizeArgs(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    )
    transform = TwoStageTransform(args)
    (view,) = run(transform, [np.full((9, 9, 4), 255, dtype=np.uint8)])
    expected = [(1 - m) / s for m, s in ((0.1, 0.5), (0.2, 0.6), (0.3, 0.7), (0.1, 0.5))]
    torch.testing.assert_close(view[0, :, 0, 0], torch.tensor(expected))


def test_dropped_channels_are_the_same_in_all_views_and_keep_their_statistics():
    values = (10, 60, 110, 160, 210)
    mean = tuple(value / 255 for value in values)
    args = evolve(
        OFF,
        num_views=2,
        channel_drop=ChannelDropArgs(num_channels_keep=3, weight_drop=(1.0,) * 5),
        normalize=NormalizeArgs(mean=mean, std=(0.1,) * 5),
        color_jitter=ColorJitterArgs(prob=0.0),
    )
    transform = TwoStageTransform(args)
    image = np.broadcast_to(np.array(values, dtype=np.uint8), (9, 9, 5))
    samples = [transform.sample(image, np.random.default_rng(seed), 0) for seed in range(12)]
    choices = {tuple(sample.views[0][:, 0, 0].tolist()) for sample in samples}
    assert len(choices) > 3
    for sample in samples:
        assert torch.equal(sample.views[0], sample.views[1])
    # Each channel is constant at its own mean: any mix-up would leave something.
    for view in run(transform, [image] * 12):
        torch.testing.assert_close(view, torch.zeros(12, 3, 24, 24), rtol=0, atol=1e-5)


def test_dropping_leaves_colour_on_only_where_rgb_is_certain(caplog):
    sure = ChannelDropArgs(num_channels_keep=3, weight_drop=(0.0, 0.0, 0.0, 1.0))
    assert TwoStageTransform(TransformArgs(channel_drop=sure)).rgb
    assert not caplog.records
    unsure = ChannelDropArgs(num_channels_keep=3, weight_drop=(1.0, 0.0, 0.0, 1.0))
    assert not TwoStageTransform(TransformArgs(channel_drop=unsure)).rgb
    assert "color_jitter.hue" in caplog.text


def test_channel_drop_and_another_number_of_channels_are_refused():
    drop = ChannelDropArgs(num_channels_keep=2, weight_drop=(1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="channel_drop keeps 2"):
        TransformArgs(num_channels=4, channel_drop=drop)


@pytest.mark.parametrize("resampler", ["pillow", "torch"])
def test_16_bit_images_as_floats_agree_with_8_bit(photo, resampler):
    transform = TwoStageTransform(TransformArgs(image_size=24), resampler=resampler)
    deep = (np.asarray(photo).astype(np.uint16) * 257 / 65535).astype(np.float32)
    # Jitter may double a rounding error of half a level, and std 0.22 makes it five times that.
    torch.testing.assert_close(
        run(transform, [deep])[0], run(transform, [photo])[0], rtol=0, atol=0.06
    )


def test_an_image_with_other_channels_is_refused(photo):
    transform = TwoStageTransform(evolve(OFF, num_channels=4))
    with pytest.raises(ValueError, match="expects 4"):
        transform.sample(photo, np.random.default_rng(0), 0)


BASE = MultiCropTransformArgs(
    image_size=24,
    random_rotation=RandomRotationArgs(prob=0.5, degrees=20),
    color_jitter=ColorJitterArgs(prob=0.5, strength=0.5),
    gaussian_blur=GaussianBlurArgs(prob=0.5),
    solarize=SolarizeArgs(prob=0.5),
    global_view_1=GlobalView1Args(
        gaussian_blur=GaussianBlurArgs(prob=0.5, sigmas=(1.0, 3.0)),
        solarize=SolarizeArgs(prob=0.5),
    ),
    local_view=LocalViewArgs(num_views=1, view_size=12),
)
CHANGED = [
    {"image_size": 20},
    {"num_views": 3},
    {"channel_drop": ChannelDropArgs(num_channels_keep=2, weight_drop=(1.0,) * 3)},
    {"num_channels": 1},
    {"random_resize": None},
    {"random_resize.min_scale": 0.9},
    {"random_resize.max_scale": 0.2},
    {"random_resize.min_ratio": 1.2},
    {"random_resize.max_ratio": 0.8},
    {"random_flip": None},
    {"random_flip.horizontal_prob": 1.0},
    {"random_flip.vertical_prob": 1.0},
    {"random_rotation": None},
    {"random_rotation.prob": 1.0},
    {"random_rotation.degrees": 80.0},
    {"random_rotation.interpolation": "nearest"},
    {"color_jitter": None},
    {"color_jitter.prob": 1.0},
    {"color_jitter.strength": 0.1},
    {"color_jitter.brightness": 0.0},
    {"color_jitter.contrast": 0.0},
    {"color_jitter.saturation": 0.0},
    {"color_jitter.hue": 0.0},
    {"random_gray_scale": None},
    {"random_gray_scale": 1.0},
    {"gaussian_blur": None},
    {"gaussian_blur.prob": 1.0},
    {"gaussian_blur.sigmas": (3.0, 4.0)},
    {"gaussian_blur.blur_limit": 3},
    {"solarize": None},
    {"solarize.prob": 1.0},
    {"solarize.threshold": 0.9},
    {"normalize.mean": (0.0, 0.0, 0.0)},
    {"normalize.std": (1.0, 1.0, 1.0)},
    {"interpolation": "bilinear"},
    {"global_view_1": None},
    {"global_view_1.random_resize": None},
    {"global_view_1.color_jitter": None},
    {"global_view_1.random_gray_scale": 1.0},
    {"global_view_1.gaussian_blur": None},
    {"global_view_1.solarize": None},
    {"local_view": None},
    {"local_view.num_views": 2},
    {"local_view.view_size": 16},
    {"local_view.random_resize": None},
    {"local_view.gaussian_blur": None},
]


def changed(args, changes):
    for path, value in changes.items():
        group, _, name = path.partition(".")
        inner = evolve(getattr(args, group), **{name: value}) if name else value
        args = evolve(args, **{group: inner})
    return args


@pytest.mark.slow
def test_every_key_has_an_effect(photo):
    small = photo.resize((40, 30))
    before = run(TwoStageTransform(BASE), [small] * 12)
    without_effect = []
    for changes in CHANGED:
        args = changed(BASE, changes)
        image = small.convert("L") if args.num_channels == 1 else small
        after = run(TwoStageTransform(args), [image] * 12)
        if len(before) == len(after) and all(
            a.shape == b.shape and torch.allclose(a, b, atol=1e-4)
            for a, b in zip(before, after, strict=True)
        ):
            without_effect.append(changes)
    assert without_effect == []


def test_the_list_of_keys_is_complete():
    """Every option of the groups occurs above, so that none can be added and forgotten."""
    listed = {path for changes in CHANGED for path in changes}
    for group in BASE.__attrs_attrs__:
        if group.name in ("name", "value_range"):
            continue  # chooses the transform; is for reading images, before there are views
        value = getattr(BASE, group.name)
        inner = getattr(value, "__attrs_attrs__", ())
        missing = {f"{group.name}.{option.name}" for option in inner} - listed
        assert not missing
        assert inner or group.name in listed


@pytest.mark.parametrize(
    "transform",
    [
        TwoStageTransform(BASE),
        EvalTransform(24, NormalizeArgs(), 3, "bicubic"),
    ],
    ids=["two_stage", "eval"],
)
def test_transforms_pickle(transform, photo):
    copy = pickle.loads(pickle.dumps(transform))
    expected = run(transform, [photo])
    assert all(torch.equal(a, b) for a, b in zip(run(copy, [photo]), expected, strict=True))


def test_flip_of_everything_twice_is_nothing(photo):
    args = evolve(OFF, random_flip=RandomFlipArgs(horizontal_prob=1.0, vertical_prob=1.0))
    (flipped,) = run(TwoStageTransform(args), [photo])
    (plain,) = run(TwoStageTransform(OFF), [photo])
    assert torch.equal(flipped.flip((2, 3)), plain)


def test_a_fixed_crop_scale_of_one_shows_the_whole_image(photo):
    square = photo.resize((60, 60))
    args = evolve(
        OFF, random_resize=RandomResizeArgs(min_scale=1, max_scale=1, min_ratio=1, max_ratio=1)
    )
    (cropped,) = run(TwoStageTransform(args), [square])
    (plain,) = run(TwoStageTransform(OFF), [square])
    assert torch.equal(cropped, plain)
