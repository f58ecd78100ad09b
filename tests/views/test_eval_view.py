"""The fixed view of evaluation, and the figure of a network's input."""

import numpy as np
import pytest
import torch
from both_stages import run
from PIL import Image
from torchvision.transforms.v2 import functional as reference

from lightly_core.config.options.augmentations import (
    ChannelDropArgs,
    NormalizeArgs,
)
from lightly_core.data.dataset import EvaluationDataset
from lightly_core.data.sources import open_source
from lightly_core.data.views.two_stage import (
    EvalTransform,
    augmentation_grid,
    eval_size,
)

# --------------------------------------------------------------------------- evaluation view


@pytest.mark.parametrize(
    ("image", "view", "expected"),
    [
        ((375, 500), (224, 224), (256, 341)),
        ((500, 375), (224, 224), (341, 256)),
        ((90, 120), (32, 32), (32, 32)),
        ((100, 100), (64, 64), (73, 73)),
        ((100, 100), (64, 128), (146, 146)),
    ],
)
def test_eval_size_keeps_proportions_from_64_pixels_on(image, view, expected):
    assert eval_size(image, view) == expected


def test_eval_view_equals_torchvision(photo):
    transform = EvalTransform(64, NormalizeArgs(), 3, "bilinear")
    (view,) = run(transform, [photo])
    resized = reference.resize(photo, [73], interpolation=Image.Resampling.BILINEAR)
    tensor = reference.pil_to_tensor(reference.center_crop(resized, [64, 64]))
    scaled = reference.to_dtype(tensor, torch.float32, scale=True)
    expected = reference.normalize(scaled, list(transform.mean), list(transform.std))
    # One pixel in a hundred may be rounded to the next level, which is 0.02.
    torch.testing.assert_close(view[0], expected, rtol=0, atol=0.02)
    assert (view[0] - expected).abs().mean() < 2e-4


def test_eval_view_is_the_same_for_every_seed(photo):
    transform = EvalTransform(32, NormalizeArgs(), 3, "bicubic")
    assert torch.equal(run(transform, [photo], 0)[0], run(transform, [photo], 99)[0])


@pytest.mark.parametrize("shape", [(1, 1), (2, 20000), (20000, 2)])
def test_eval_view_of_extreme_images(shape):
    transform = EvalTransform(64, NormalizeArgs(), 3, "bicubic")
    (view,) = run(transform, [Image.fromarray(np.full((*shape, 3), 7, dtype=np.uint8))])
    assert view.shape == (1, 3, 64, 64)
    assert view[0, 0].unique().numel() == 1


def test_eval_keeps_the_channels_that_are_dropped_least():
    drop = ChannelDropArgs(num_channels_keep=2, weight_drop=(2.0, 0.5, 1.0, 0.0))
    normalize = NormalizeArgs(mean=(0.0, 0.1, 0.2, 0.3), std=(1.0,) * 4)
    transform = EvalTransform(8, normalize, 2, "bilinear", drop)
    (view,) = run(transform, [np.full((9, 9, 4), 255, dtype=np.uint8)])
    torch.testing.assert_close(view[0, :, 0, 0], torch.tensor([0.9, 0.7]))


def test_a_photograph_has_one_view_however_its_source_shrinks_it(tmp_path, photo):
    photo.resize((1000, 750)).save(tmp_path / "a.jpg")
    transform = EvalTransform(64, NormalizeArgs(), 3, "bicubic")
    views = [
        EvaluationDataset(open_source(str(tmp_path), min_side=side), [0], transform)[0].views[0]
        for side in (None, 1, 10_000)
    ]
    assert torch.equal(views[0], views[1])
    assert torch.equal(views[0], views[2])


@pytest.mark.parametrize(
    ("image", "view", "expected"),
    [
        ((1440, 1920), (224, 224), 2 * 256 / 1440),
        ((1920, 1440), (32, 32), 2 * 32 / 1440),
        ((400, 500), (224, 224), 1.0),
    ],
)
def test_a_photograph_is_shrunk_to_twice_the_size_that_is_needed(image, view, expected):
    transform = EvalTransform(view, NormalizeArgs(), 3, "bicubic")
    plan = transform.plan(image, np.random.default_rng(0), 0)
    assert plan.least_scale == pytest.approx(expected)


# --------------------------------------------------------------------------- figure


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_grid_shows_rows_of_images_and_columns_of_views(channels):
    mean, std = (0.5,) * channels, (0.25,) * channels
    large = torch.full((4, channels, 20, 16), 1.0)  # 0.75
    small = torch.full((4, channels, 8, 8), -1.0)  # 0.25
    figure = augmentation_grid([large, small], mean, std, max_images=3)
    assert figure.shape == (3 * 22 + 2, 2 * 18 + 2, 3)
    assert figure.dtype == np.uint8
    for row in range(3):
        top = 2 + row * 22
        assert (figure[top : top + 20, 2:18] == 191).all()
        assert (figure[top : top + 8, 20:28] == 64).all()
        assert (figure[top + 8 : top + 20, 20:36] == 255).all()


def test_grid_shows_the_first_three_channels_in_their_colours():
    view = torch.zeros(1, 4, 2, 2)
    view[0, 0] = 1
    figure = augmentation_grid([view], (0.0,), (1.0,))
    assert figure[2, 2].tolist() == [255, 0, 0]
