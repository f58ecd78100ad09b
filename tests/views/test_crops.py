"""The crops of samples match their views."""

import numpy as np
import pytest
import torch

from lightly_core.config.options.augmentations import (
    LocalViewArgs,
    RandomFlipArgs,
    RandomResizeArgs,
)
from lightly_core.config.options.transform import MultiCropTransformArgs
from lightly_core.data.views.geometry import describe_crops
from lightly_core.data.views.two_stage import TwoStageTransform

# Smooth enough that the mean over a cell is the position of its centre.
HEIGHT, WIDTH = 120, 160
ARGS = MultiCropTransformArgs(
    image_size=(24, 32),
    random_resize=RandomResizeArgs(min_scale=0.1),
    random_flip=RandomFlipArgs(horizontal_prob=0.5, vertical_prob=0.5),
    local_view=LocalViewArgs(num_views=2, view_size=16),
    interpolation="bilinear",
)


@pytest.fixture
def positions():
    """An image whose channels are the position of each pixel, x and y as fractions, and zero."""
    x = (np.arange(WIDTH, dtype=np.float32) + 0.5) / WIDTH
    y = (np.arange(HEIGHT, dtype=np.float32) + 0.5) / HEIGHT
    return np.stack([*np.meshgrid(x, y), np.zeros((HEIGHT, WIDTH), np.float32)], axis=2)


def test_each_pixel_is_at_the_position_that_the_crop_gives(positions):
    transform = TwoStageTransform(ARGS, crops=True)
    seen = set()
    for index in range(12):
        sample = transform.sample(positions, np.random.default_rng(index), index)
        assert len(sample.crops) == len(sample.views) == 4
        for view, crop in zip(sample.views, sample.crops, strict=True):
            assert (crop.shape, crop.dtype) == ((6,), torch.float32)
            left, top, width, height, mirror, upside_down = crop.tolist()
            seen.add((mirror, upside_down))
            rows, columns = view.shape[1:]
            x = (torch.arange(columns) + 0.5) / columns
            y = (torch.arange(rows) + 0.5) / rows
            x = left + width * (1 - x if mirror else x)
            y = top + height * (1 - y if upside_down else y)
            # The outermost pixels mix in nothing from beyond the crop.
            inner = (slice(None), slice(2, -2), slice(2, -2))
            shown = torch.stack(torch.meshgrid(x, y, indexing="xy"))
            torch.testing.assert_close(view[:2][inner], shown[inner], rtol=0, atol=0.01)
    assert len(seen) == 4  # all flips came up


def test_crops_change_no_view(positions):
    with_crops, without = TwoStageTransform(ARGS, crops=True), TwoStageTransform(ARGS)
    samples = [one.sample(positions, np.random.default_rng(3), 0) for one in (with_crops, without)]
    assert all(map(torch.equal, samples[0].views, samples[1].views))
    assert all(map(torch.equal, samples[0].parameters, samples[1].parameters))
    assert samples[1].crops == []


def test_known_crops():
    boxes = np.array([[0, 0, 20, 40], [5, 10, 10, 20]])
    found = describe_crops(boxes, [True, False], [False, True], (20, 40))
    assert found.dtype == np.float32
    assert found.tolist() == [[0, 0, 1, 1, 1, 0], [0.25, 0.25, 0.5, 0.5, 0, 1]]
