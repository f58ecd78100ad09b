import itertools
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as reference

from lightly_core.config.options.augmentations import (
    ChannelDropArgs,
    RandomFlipArgs,
    RandomResizeArgs,
    RandomRotationArgs,
)
from lightly_core.config.options.transform import ViewSpec
from lightly_core.data.views.geometry import (
    Box,
    Geometry,
    least_scale,
    sample_box,
    sample_geometry,
    sample_kept_channels,
    scaled,
)
from lightly_core.data.views.worker import (
    image_size,
    make_view,
    prepare,
    reflect,
    resized_centre,
)

MODES = {
    "bilinear": v2.InterpolationMode.BILINEAR,
    "bicubic": v2.InterpolationMode.BICUBIC,
}


def by_torchvision(image, box, size, interpolation):
    view = reference.resized_crop(
        image, *box, list(size), interpolation=MODES[interpolation], antialias=True
    )
    return view if isinstance(view, torch.Tensor) else reference.pil_to_tensor(view)


def has_channels_last(view):
    return view.permute(1, 2, 0).is_contiguous()


def plain_box(height, width, args, rng):
    """The algorithm of torchvision's RandomResizedCrop, fed with numpy's numbers."""
    for _ in range(10):
        area = height * width * (args.min_scale + rng.random() * (args.max_scale - args.min_scale))
        log_low, log_high = math.log(args.min_ratio), math.log(args.max_ratio)
        ratio = math.exp(log_low + rng.random() * (log_high - log_low))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return (int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1)), h, w)
    return None


# --------------------------------------------------------------------------- crops


def test_box_equals_the_plain_algorithm(rng):
    args = RandomResizeArgs(min_scale=0.3, max_scale=1.0)
    for seed in range(200):
        expected = plain_box(60, 90, args, rng(seed))
        if expected is not None:
            assert sample_box(60, 90, args, rng(seed)) == expected


def test_boxes_are_distributed_as_in_torchvision(rng):
    args = RandomResizeArgs(min_scale=0.08, max_scale=1.0)
    generator = rng(0)
    ours = np.array([sample_box(75, 100, args, generator) for _ in range(3000)], dtype=float)
    torch.manual_seed(0)
    image = torch.zeros(1, 75, 100)
    limits = {"scale": [0.08, 1.0], "ratio": [3 / 4, 4 / 3]}
    # v2 names this method differently before torchvision 0.21.
    boxes = [transforms.RandomResizedCrop.get_params(image, **limits) for _ in range(3000)]
    theirs = np.array(boxes, dtype=float)
    # Standard errors are below 0.6 pixels, so 2 pixels are more than three of them.
    np.testing.assert_allclose(ours.mean(0), theirs.mean(0), atol=2)
    np.testing.assert_allclose(ours.std(0), theirs.std(0), atol=2)
    areas = [np.quantile(boxes[:, 2] * boxes[:, 3], [0.1, 0.5, 0.9]) for boxes in (ours, theirs)]
    np.testing.assert_allclose(areas[0], areas[1], rtol=0.12)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (1000, 30, Box(480, 0, 40, 30)),  # as tall as the ratio 3/4 allows
        (30, 1000, Box(0, 480, 30, 40)),
        (1, 1, Box(0, 0, 1, 1)),
    ],
)
def test_extreme_images_get_the_largest_allowed_centred_box(height, width, expected, rng):
    args = RandomResizeArgs(min_scale=1.0, max_scale=1.0)
    assert sample_box(height, width, args, rng(0)) == expected


def test_boxes_of_extreme_ratios_lie_inside(rng):
    args = RandomResizeArgs(min_scale=0.01, max_scale=1.0, min_ratio=0.1, max_ratio=0.2)
    for height, width in ((1, 50), (50, 1), (3, 2), (2, 900)):
        for seed in range(30):
            top, left, h, w = sample_box(height, width, args, rng(seed))
            assert h >= 1
            assert w >= 1
            assert 0 <= top <= height - h
            assert 0 <= left <= width - w


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_pixels_equal_torchvision(photo, interpolation):
    boxes = [Box(7, 11, 40, 53), Box(0, 0, 90, 120), Box(30, 5, 9, 12)]
    sizes = [(32, 32), (20, 45), (40, 53)]
    different = []
    for box, size in itertools.product(boxes, sizes):
        ours = make_view(photo, Geometry(box), size, interpolation)
        theirs = by_torchvision(photo, box, size, interpolation)
        if not torch.equal(ours, theirs) or not has_channels_last(ours):
            different.append((box, size))
    assert different == []


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_pixels_of_the_torch_resampler_equal_torchvision_on_tensors(photo, interpolation):
    box, size = Box(7, 11, 70, 93), (32, 24)
    ours = make_view(photo, Geometry(box, mirror=True), size, interpolation, "torch")
    tensor = reference.pil_to_tensor(photo)
    expected = by_torchvision(tensor, box, size, interpolation).flip(2)
    # torchvision goes over floats on processors for which torch has no kernel for bytes.
    torch.testing.assert_close(ours, expected, rtol=0, atol=1)
    assert has_channels_last(ours)
    pillow = make_view(photo, Geometry(box, mirror=True), size, interpolation)
    torch.testing.assert_close(ours, pillow, rtol=0, atol=1)


@pytest.mark.parametrize(
    ("mirror", "upside_down", "dims"), [(1, 0, [2]), (0, 1, [1]), (1, 1, [1, 2])]
)
def test_flips(photo, mirror, upside_down, dims):
    box = Box(5, 6, 50, 60)
    plain = make_view(photo, Geometry(box), (16, 24), "bicubic")
    flipped = make_view(
        photo,
        Geometry(box, mirror=bool(mirror), upside_down=bool(upside_down)),
        (16, 24),
        "bicubic",
    )
    assert torch.equal(flipped, plain.flip(dims))


# --------------------------------------------------------------------------- turning


@pytest.mark.parametrize("angle", [17.0, -63.5, 90.0, 171.0])
@pytest.mark.parametrize("box", [Box(0, 0, 90, 120), Box(3, 60, 40, 55)])
def test_turning_equals_padding_by_reflection_then_pillows_rotate(photo, angle, box):
    pad = 80
    padded = np.pad(np.asarray(photo), ((pad, pad), (pad, pad), (0, 0)), mode="reflect")
    rotated = Image.fromarray(padded).rotate(angle, Image.Resampling.BILINEAR)
    left, top = box.left + pad, box.top + pad
    expected = rotated.crop((left, top, left + box.width, top + box.height))
    view = make_view(photo, Geometry(box, angle=angle), box[2:], "bicubic")
    # Pillow turns right angles without interpolation, and rounds its matrix.
    difference = (view.int() - reference.pil_to_tensor(expected).int()).abs()
    assert difference.max() <= 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 2)])
def test_tiny_images_can_be_turned(shape):
    image = Image.fromarray(np.full((*shape, 3), 77, dtype=np.uint8))
    view = make_view(image, Geometry(Box(0, 0, *shape), angle=33.0), (8, 8), "bicubic")
    assert torch.equal(view, torch.full((3, 8, 8), 77, dtype=torch.uint8))


@pytest.mark.parametrize("length", [1, 2, 5])
def test_reflect_equals_numpys_padding(length):
    expected = np.pad(np.arange(length), 7, mode="reflect")
    np.testing.assert_array_equal(reflect(np.arange(-7, length + 7), length), expected)


def test_angles_are_uniform_up_to_the_given_degrees(rng):
    spec = ViewSpec(size=(8, 8), random_rotation=RandomRotationArgs(prob=1.0, degrees=30))
    generator = rng(0)
    angles = np.array([sample_geometry(spec, 9, 9, generator).angle for _ in range(2000)])
    assert np.abs(angles).max() <= 30
    assert angles.mean() == pytest.approx(0, abs=2)
    assert angles.std() == pytest.approx(30 / math.sqrt(3), rel=0.05)


@pytest.mark.parametrize("prob", [0.0, 0.3, 1.0])
def test_flips_and_turns_come_as_often_as_asked(prob, rng):
    spec = ViewSpec(
        size=(8, 8),
        random_flip=RandomFlipArgs(horizontal_prob=prob, vertical_prob=1 - prob),
        random_rotation=RandomRotationArgs(prob=prob, degrees=90),
    )
    generator = rng(0)
    sampled = [sample_geometry(spec, 9, 9, generator) for _ in range(2000)]
    fractions = np.mean([(g.mirror, g.upside_down, g.angle != 0) for g in sampled], axis=0)
    # Four standard errors; none at 0 and 1, where it must be exact.
    error = 4 * math.sqrt(prob * (1 - prob) / 2000)
    np.testing.assert_allclose(fractions, [prob, 1 - prob, prob], atol=error)


# --------------------------------------------------------------------------- channels


def test_gray_images_become_rgb_where_three_channels_are_wanted(photo):
    gray = photo.convert("L")
    assert prepare(gray, 3).mode == "RGB"
    assert prepare(np.asarray(gray), 3).shape == (90, 120, 3)


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "CMYK"])
def test_other_8_bit_modes_become_rgb(photo, mode):
    image = photo.convert("L").convert(mode) if mode == "LA" else photo.convert(mode)
    assert prepare(image, 3).mode == "RGB"


@pytest.mark.parametrize(
    ("image", "num_channels", "message"),
    [
        (Image.new("RGB", (4, 4)), 4, "mode RGB.*expects 4"),
        (Image.new("RGB", (4, 4)), 1, "mode RGB.*expects 1"),
        (Image.new("I;16", (4, 4)), 1, "mode I;16"),
        (np.zeros((4, 4, 5), np.uint8), 4, "5 channel.*expects 4"),
        (np.zeros((4, 4, 3), np.int16), 3, "int16"),
        (np.zeros((0, 4, 3), np.uint8), 3, "shape"),
        (np.zeros(4, np.uint8), 3, "shape"),
    ],
)
def test_images_that_do_not_fit_are_refused(image, num_channels, message):
    with pytest.raises(ValueError, match=message):
        prepare(image, num_channels)


@pytest.mark.parametrize("resampler", ["pillow", "torch"])
@pytest.mark.parametrize("channels", [1, 2, 4, 5])
@pytest.mark.parametrize("angle", [0.0, 25.0])
def test_every_channel_is_treated_alike_and_alone(photo, channels, angle, resampler):
    """Also the fourth, which Pillow would take for the opacity of the others."""
    pixels = np.asarray(photo)[:, :, [0, 1, 2, 0, 1][:channels]].copy()
    pixels[:, :, -1] //= 3
    geometry = Geometry(Box(4, 9, 60, 71), angle=angle, mirror=True)
    view = make_view(prepare(pixels, channels), geometry, (24, 30), "bicubic", resampler)
    alone = [
        make_view(prepare(pixels[:, :, c], 1), geometry, (24, 30), "bicubic", resampler)
        for c in range(channels)
    ]
    torch.testing.assert_close(view, torch.cat(alone), rtol=0, atol=1)
    assert has_channels_last(view)


def test_rgba_pillow_images_keep_four_channels(photo):
    image = photo.copy()
    image.putalpha(Image.new("L", image.size, 10))
    view = make_view(prepare(image, 4), Geometry(Box(0, 0, 90, 120)), (30, 40), "bilinear")
    assert torch.equal(
        view[:3], make_view(photo, Geometry(Box(0, 0, 90, 120)), (30, 40), "bilinear")
    )
    assert (view[3] == 10).all()


@pytest.mark.parametrize("resampler", ["pillow", "torch"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_images_stay_float_and_within_0_and_1(photo, dtype, resampler):
    pixels = (np.asarray(photo) / 255).astype(dtype)
    view = make_view(
        prepare(pixels, 3), Geometry(Box(0, 0, 90, 120)), (60, 80), "bicubic", resampler
    )
    expected = make_view(photo, Geometry(Box(0, 0, 90, 120)), (60, 80), "bicubic")
    assert view.dtype == torch.float32
    assert 0 <= view.min() <= view.max() <= 1
    # With 8 bits Pillow rounds and cuts off twice: after the rows and after the columns.
    torch.testing.assert_close(view * 255, expected.float(), rtol=0, atol=2)
    assert (view * 255 - expected).abs().mean() < 0.5


def test_channels_are_dropped_by_weight(rng):
    args = ChannelDropArgs(num_channels_keep=2, weight_drop=(0.0, 1.0, 1.0, 2.0))
    generator = rng(0)
    sampled = [sample_kept_channels(args, generator) for _ in range(2000)]
    assert all(len(kept) == 2 and list(kept) == sorted(kept) and 0 in kept for kept in sampled)
    # Two are dropped one after the other with weights 1 : 1 : 2; channel 3 stays with
    # probability 1/4 * 1/3 + 1/4 * 1/3.
    assert np.mean([3 in kept for kept in sampled]) == pytest.approx(1 / 6, abs=0.035)
    assert np.mean([1 in kept for kept in sampled]) == pytest.approx(5 / 12, abs=0.045)


def test_nothing_is_dropped_where_all_are_kept(rng):
    args = ChannelDropArgs(num_channels_keep=2, weight_drop=(1.0, 1.0))
    assert sample_kept_channels(args, rng(0)) == (0, 1)


# --------------------------------------------------------------------------- evaluation


@pytest.mark.parametrize("resized", [(48, 64), (73, 97), (200, 266)])
def test_resized_centre_equals_resizing_all_and_cutting(photo, resized):
    size = (40, 44)
    ours = resized_centre(photo, resized, size, "bicubic")
    whole = reference.resize(photo, list(resized), interpolation=MODES["bicubic"])
    expected = reference.pil_to_tensor(reference.center_crop(whole, list(size)))
    torch.testing.assert_close(ours, expected, rtol=0, atol=1)
    assert (ours != expected).float().mean() < 0.01


def test_image_size_is_height_and_width(photo):
    assert image_size(photo) == image_size(np.asarray(photo)) == (90, 120)


def test_images_may_shrink_until_a_side_of_the_crop_is_that_of_the_view():
    assert least_scale(Box(5, 6, 100, 400), (50, 100)) == 0.5
    assert least_scale(Box(5, 6, 400, 200), (50, 100)) == 0.5
    assert least_scale(Box(0, 0, 40, 400), (50, 100)) == 1.0


def test_crops_of_shrunk_images_show_the_same_part(rng):
    args, rng = RandomResizeArgs(min_scale=0.001, max_scale=1.0), rng(0)
    for _ in range(300):
        height, width = (int(side) for side in rng.integers(8, 500, 2))
        factor = int(rng.choice([1, 2, 4, 8]))
        small = (-(-height // factor), -(-width // factor))
        box = sample_box(height, width, args, rng)
        found = scaled(Geometry(box, mirror=True), (height, width), small)
        assert found.mirror
        for first, length, old, new, whole, side in (
            (found.box.top, found.box.height, box.top, box.height, height, small[0]),
            (found.box.left, found.box.width, box.left, box.width, width, small[1]),
        ):
            assert 0 <= first < first + length <= side
            assert abs(first - old * side / whole) <= 1
            assert abs(first + length - (old + new) * side / whole) <= 1
