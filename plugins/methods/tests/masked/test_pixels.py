"""The losses of MAE and SimMIM."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from lightly_methods.masked.mae import hidden_pixel_mse
from lightly_methods.masked.simmim import hidden_pixel_l1


def patch_of(image, number, patch_size):
    """Return a patch as the plain list of its pixels: rows, columns, channels."""
    columns = image.shape[2] // patch_size
    top, left = number // columns * patch_size, number % columns * patch_size
    return [
        image[c, top + y, left + x].item()
        for y in range(patch_size)
        for x in range(patch_size)
        for c in range(image.shape[0])
    ]


def standardised(values):
    mean = sum(values) / len(values)
    variance = sum((v - mean) ** 2 for v in values) / (len(values) - 1)
    return [(v - mean) / math.sqrt(variance + 1e-6) for v in values]


GRID = list(itertools.product([1, 3], [2, 4], [1, 3], [False, True]))


@pytest.mark.parametrize(("channels", "patch_size", "num_hidden", "normalize"), GRID)
def test_mae_matches_the_plain_loop(generator, channels, patch_size, num_hidden, normalize):
    images = torch.randn(
        2, channels, 2 * patch_size, 3 * patch_size, generator=generator, dtype=torch.float64
    )
    hidden = torch.stack([torch.randperm(6, generator=generator)[:num_hidden] for _ in range(2)])
    width = patch_size**2 * channels
    prediction = torch.randn(2, num_hidden, width, generator=generator, dtype=torch.float64)
    total, count = 0.0, 0
    for b in range(2):
        for m in range(num_hidden):
            target = patch_of(images[b], int(hidden[b, m]), patch_size)
            target = standardised(target) if normalize else target
            for p, t in zip(prediction[b, m].tolist(), target, strict=True):
                total, count = total + (p - t) ** 2, count + 1
    loss = hidden_pixel_mse(prediction, images, hidden, patch_size, normalize=normalize)
    assert loss.item() == pytest.approx(total / count, rel=1e-9)


@pytest.mark.parametrize(("channels", "patch_size"), [(1, 2), (3, 4)])
@pytest.mark.parametrize("counts", [(3, 3), (1, 6)])
def test_simmim_matches_the_plain_loop(generator, channels, patch_size, counts):
    images = torch.randn(
        2, channels, 2 * patch_size, 3 * patch_size, generator=generator, dtype=torch.float64
    )
    width = patch_size**2 * channels
    prediction = torch.randn(2, 6, width, generator=generator, dtype=torch.float64)
    mask = torch.zeros(2, 6, dtype=torch.bool)
    means = []
    for b, count in enumerate(counts):
        hidden = torch.randperm(6, generator=generator)[:count]
        mask[b, hidden] = True
        errors = [
            abs(p - t)
            for n in hidden.tolist()
            for p, t in zip(
                prediction[b, n].tolist(), patch_of(images[b], n, patch_size), strict=True
            )
        ]
        means.append(sum(errors) / len(errors))
    loss = hidden_pixel_l1(prediction, images, mask, patch_size)
    assert loss.item() == pytest.approx(sum(means) / 2, rel=1e-9)


def test_simmim_with_equal_masks_is_the_form_of_the_papers_code(generator):
    images = torch.randn(2, 3, 8, 8, generator=generator)
    prediction = torch.randn(2, 4, 48, generator=generator)
    mask = torch.tensor([[1, 0, 0, 1], [0, 1, 1, 0]], dtype=torch.bool)
    pixels = mask.reshape(2, 1, 2, 2).float().repeat_interleave(4, 2).repeat_interleave(4, 3)
    painted = prediction.reshape(2, 2, 2, 4, 4, 3).permute(0, 5, 1, 3, 2, 4).reshape(2, 3, 8, 8)
    expected = ((painted - images).abs() * pixels).sum() / pixels.sum() / 3
    torch.testing.assert_close(hidden_pixel_l1(prediction, images, mask, 4), expected)


def test_visible_patches_have_no_loss(generator):
    images = torch.randn(1, 3, 8, 8, generator=generator)
    prediction = torch.randn(1, 4, 48, generator=generator, requires_grad=True)
    mask = torch.tensor([[True, False, True, False]])
    hidden_pixel_l1(prediction, images, mask, 4).backward()
    per_patch = prediction.grad.abs().sum(dim=2)[0]
    assert per_patch[mask[0]].min() > 0
    assert per_patch[~mask[0]].max() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_compared_in_single(generator, dtype):
    images = torch.randn(1, 3, 8, 8, generator=generator).to(dtype)
    prediction = torch.randn(1, 4, 48, generator=generator).to(dtype)
    hidden, mask = torch.arange(4)[None], torch.ones(1, 4, dtype=torch.bool)
    mse = hidden_pixel_mse(prediction, images, hidden, 4, normalize=True)
    exact = hidden_pixel_mse(prediction.float(), images.float(), hidden, 4, normalize=True)
    assert mse.dtype == torch.float32
    assert mse == exact
    l1 = hidden_pixel_l1(prediction, images, mask, 4)
    assert l1.dtype == torch.float32
    assert l1 == hidden_pixel_l1(prediction.float(), images.float(), mask, 4)


def test_mae_starts_near_one_with_normalised_pixels(make_case):
    case = make_case("mae")
    method = case.build()
    torch.nn.init.zeros_(method.decoder.output.weight)
    # The variance is unbiased over the 192 pixels of a patch.
    assert method.training_step(case.batch(), 0).loss.item() == pytest.approx(191 / 192, rel=1e-4)


@pytest.mark.parametrize("name", ["mae", "simmim"])
def test_painting_the_right_pixels_gives_no_loss(make_case, name):
    """Fails if predictions and pixels are in different orders."""
    options = {"normalize_pixels": False} if name == "mae" else {}
    case = make_case(name, batch_size=2, **options)
    method, batch = case.build(), case.batch()
    image = batch.views[0]
    columns = [[torch.tensor(patch_of(image[b], n, 8)) for n in range(16)] for b in range(2)]
    perfect = torch.stack([torch.stack(patches) for patches in columns])  # (2, 16, 192)
    if name == "mae":
        hidden = batch.extras["hidden"]
        perfect = torch.stack([perfect[b, hidden[b]] for b in range(2)])
        method.decoder.forward = lambda *_: perfect
    else:
        method.head.forward = lambda _: perfect
    assert method.training_step(batch, 0).loss == 0
    other = replace(batch, views=[image.flip(3)])
    assert method.training_step(other, 0).loss > 0.5
