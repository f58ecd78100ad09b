import pytest
import torch

from lightly_methods.masked.patches import normalize_patches, patch_pixels, take
from lightly_methods.masked.predictor import PatchPredictor, sincos_positions

GRID = (3, 4)


@pytest.fixture(params=[False, True], ids=["self", "cross"])
def predictor(request):
    torch.manual_seed(0)
    return PatchPredictor(
        6, 8, depth=2, num_heads=2, grid=GRID, output_dim=5, cross=request.param
    ).double()


@pytest.fixture
def inputs(generator):
    order = torch.stack([torch.randperm(12, generator=generator) for _ in range(2)])
    tokens = {
        "patch_tokens": torch.randn(2, 4, 6, generator=generator, dtype=torch.float64),
        "prefix_tokens": torch.randn(2, 1, 6, generator=generator, dtype=torch.float64),
    }
    return tokens, order[:, :4], order[:, 4:]


@pytest.mark.parametrize(("channels", "patch_size"), [(1, 2), (3, 4), (4, 8)])
def test_patches_are_numbered_row_by_row(generator, channels, patch_size):
    images = torch.randn(2, channels, 2 * patch_size, 3 * patch_size, generator=generator)
    patches = patch_pixels(images, patch_size)
    assert patches.shape == (2, 6, patch_size**2 * channels)
    for number in range(6):
        top, left = number // 3 * patch_size, number % 3 * patch_size
        part = images[:, :, top : top + patch_size, left : left + patch_size]
        assert torch.equal(patches[:, number], part.permute(0, 2, 3, 1).flatten(1))


def test_patches_of_channels_last_images_are_the_same(generator):
    images = torch.randn(2, 3, 8, 8, generator=generator)
    other = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(patch_pixels(images, 4), patch_pixels(other, 4))


def test_normalised_patches_have_the_unbiased_variance(generator):
    pixels = 3 + 5 * torch.randn(2, 3, 12, generator=generator, dtype=torch.float64)
    normal = normalize_patches(pixels)
    torch.testing.assert_close(normal.mean(dim=2), torch.zeros(2, 3).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(normal.var(dim=2), torch.ones(2, 3).double(), atol=1e-6, rtol=0)
    assert normalize_patches(torch.ones(1, 1, 12)).abs().max() == 0


def test_taking_follows_the_index(generator):
    x, index = torch.randn(2, 5, 3, generator=generator), torch.tensor([[4, 0], [1, 1]])
    expected = torch.stack([torch.stack([x[b, i] for i in index[b]]) for b in range(2)])
    assert torch.equal(take(x, index), expected)


def test_positions_are_those_of_the_formula():
    positions = sincos_positions(GRID, 8)
    for row in range(3):
        for column in range(4):
            angles = [row, row / 100, column, column / 100]  # 10000 ** (-0 / 2), ** (-1 / 2)
            wave = [f(torch.tensor(float(a))) for a in angles for f in (torch.sin, torch.cos)]
            order = [0, 2, 1, 3, 4, 6, 5, 7]  # first sines, then cosines of each half
            expected = torch.stack([wave[i] for i in order])
            torch.testing.assert_close(positions[4 * row + column], expected)


def test_the_order_in_which_patches_are_listed_does_not_matter(predictor, inputs):
    tokens, keep, hidden = inputs
    result = predictor(tokens, keep, hidden)
    order = torch.tensor([2, 0, 3, 1])
    shuffled = {**tokens, "patch_tokens": tokens["patch_tokens"][:, order]}
    torch.testing.assert_close(predictor(shuffled, keep[:, order], hidden), result)
    torch.testing.assert_close(predictor(tokens, keep, hidden.flip(1)), result.flip(1))


def test_a_patch_in_the_place_of_another_is_noticed(predictor, inputs):
    tokens, keep, hidden = inputs
    result = predictor(tokens, keep, hidden)
    swapped = predictor(tokens, keep.flip(1), hidden)
    assert (result - swapped).abs().max() > 1e-4


def test_prefix_tokens_are_trained(predictor, inputs):
    tokens, keep, hidden = inputs
    tokens["prefix_tokens"].requires_grad_()
    predictor(tokens, keep, hidden).square().sum().backward()
    assert tokens["prefix_tokens"].grad.abs().min() > 0


@pytest.mark.families
@pytest.mark.parametrize("right", [True, False])
def test_it_learns_what_belongs_to_a_place_only_if_places_are_right(generator, right):
    """Every place has its own colour; with shuffled places there is nothing to be learned."""
    torch.manual_seed(0)
    predictor = PatchPredictor(4, 32, depth=1, num_heads=2, grid=GRID, output_dim=4)
    optimizer = torch.optim.Adam(predictor.parameters(), lr=3e-3)
    colours = torch.randn(12, 4, generator=generator)
    for _ in range(250):
        order = torch.rand(16, 12, generator=generator).argsort(dim=1)
        keep, hidden = order[:, :4], order[:, 4:]
        tokens = {"patch_tokens": torch.zeros(16, 4, 4), "prefix_tokens": torch.zeros(16, 0, 4)}
        asked = hidden if right else hidden[:, torch.randperm(8, generator=generator)]
        loss = (predictor(tokens, keep, asked) - colours[hidden]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    spread = colours.var(dim=0, unbiased=False).mean()
    assert loss < 0.05 * spread if right else loss > 0.5 * spread
