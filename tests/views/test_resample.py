"""Views made by matrix products equal the worker's up to rounding."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lightly_core.data.views.batch_sampling import SampledView
from lightly_core.data.views.geometry import Box, Geometry
from lightly_core.data.views.resample import Resampler, resize_weights
from lightly_core.data.views.worker import make_view

CPU = torch.device("cpu")


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("length", "size"), [(9, 32), (32, 9), (31, 32), (32, 31), (1, 8), (7, 7)])
def test_weights_equal_those_of_torch(interpolation, length, size):
    unit = torch.eye(length)[None, None]  # (1, 1, length, length)
    resized = F.interpolate(
        unit, (length, size), mode=interpolation, antialias=True, align_corners=False
    )
    ours = resize_weights(length, size, interpolation)
    np.testing.assert_allclose(ours, resized[0, 0].T, atol=2e-5)
    np.testing.assert_allclose(ours.sum(axis=1), 1)


def random_images(num_channels, height, width):
    """Half noise, which makes bicubic interpolation overshoot most, half soft waves."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (12, height, width, num_channels))
    waves = 128 + 127 * np.sin(np.cumsum(rng.normal(0, 0.4, noise.shape), axis=1))
    hard = 255 * (noise > 127)
    return np.concatenate([noise, waves, hard]).astype(np.uint8)


def random_view(number, height, width, rng):
    tall, wide = rng.integers(1, height + 1, number), rng.integers(1, width + 1, number)
    boxes = np.stack(
        [rng.integers(0, height - tall + 1), rng.integers(0, width - wide + 1), tall, wide], axis=1
    )
    flips = rng.random((2, number)) < 0.5
    return SampledView(boxes, flips[0], flips[1], np.zeros((number, 1), np.float32))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("num_channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(32, 32), (6, 9), (50, 40)])
def test_views_equal_the_workers(interpolation, num_channels, size):
    images = random_images(num_channels, 32, 24)
    tensor = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 1, 3, 2)))  # (N, H, C, W)
    rng = np.random.default_rng(1)
    indices = torch.from_numpy(rng.permutation(len(images)).repeat(3))
    sampled = random_view(len(indices), 32, 24, rng)
    ours = Resampler(tensor, interpolation, CPU)(indices, sampled, size)
    assert ours.dtype == torch.uint8
    assert ours.is_contiguous(memory_format=torch.channels_last)
    theirs = torch.stack(
        [
            make_view(
                images[index],
                Geometry(Box(*box.tolist()), mirror=bool(mirror), upside_down=bool(upside_down)),
                size,
                interpolation,
                "torch",
            )
            for index, box, mirror, upside_down in zip(
                indices, sampled.boxes, sampled.mirror, sampled.upside_down, strict=True
            )
        ]
    )
    difference = (ours.int() - theirs.int()).abs()
    assert difference.max() <= 2
    assert difference.float().mean() < 0.1


def test_a_whole_image_of_the_views_size_stays_as_it_is():
    images = random_images(3, 16, 16)
    tensor = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 1, 3, 2)))
    whole = np.tile([0, 0, 16, 16], (len(images), 1))
    no = np.zeros(len(images), bool)
    sampled = SampledView(whole, no, ~no, np.zeros((len(images), 1), np.float32))
    views = Resampler(tensor, "bicubic", CPU)(torch.arange(len(images)), sampled, (16, 16))
    assert torch.equal(views, torch.from_numpy(images).permute(0, 3, 1, 2).flip(2))


def test_the_precision_of_the_users_products_is_left_alone():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        images = torch.zeros(2, 8, 3, 8, dtype=torch.uint8)
        sampled = random_view(2, 8, 8, np.random.default_rng(0))
        Resampler(images, "bilinear", CPU)(torch.arange(2), sampled, (4, 4))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_views_are_made_on_the_device_wherever_the_images_are(device):
    """A tensor that is left on the CPU would be refused by the others, as on a GPU."""
    images = torch.zeros(4, 8, 3, 8, dtype=torch.uint8, device=device)
    sampled = random_view(2, 8, 8, np.random.default_rng(0))
    resampler = Resampler(images, "bicubic", torch.device("meta"))
    views = resampler(torch.arange(2), sampled, (6, 5))
    assert views.device.type == "meta"
    assert views.shape == (2, 3, 6, 5)
