import pickle

import numpy as np
import pytest
import torch

from lightly_dino.base_config import MaskArgs
from lightly_dino.dinov2_config import DINOv2Config
from lightly_dino.dinov3_config import DINOv3Config
from lightly_dino.ibot_config import IBOTConfig
from lightly_dino.masks import BlockMasks, find_masked_patches, max_masked_patches


def masks_of(args, grid=(8, 8), num_views=2, num_images=200):
    draw = BlockMasks(grid, num_views, args)
    return torch.stack([draw(np.random.default_rng(i))["mask"] for i in range(num_images)])


def test_a_mask_has_a_row_for_each_global_view():
    mask = BlockMasks((4, 6), 3, MaskArgs())(np.random.default_rng(0))["mask"]
    assert mask.shape == (3, 24)
    assert mask.dtype == torch.bool


def test_half_of_the_views_are_masked_with_ratios_in_the_range():
    ratios = masks_of(MaskArgs()).flatten(0, 1).float().mean(dim=1)  # (400,)
    masked = ratios[ratios > 0]
    assert 0.42 < len(masked) / len(ratios) < 0.58
    assert masked.min() >= 0.09  # rounded to whole patches
    assert masked.max() <= 0.51
    assert masked.mean() == pytest.approx(0.3, abs=0.03)


def test_the_generator_decides_all_and_it_may_go_to_workers():
    draw = BlockMasks((8, 8), 2, MaskArgs(probability=1.0))
    copy = pickle.loads(pickle.dumps(draw))
    first, second = draw(np.random.default_rng(5)), copy(np.random.default_rng(5))
    assert torch.equal(first["mask"], second["mask"])
    assert not torch.equal(first["mask"], draw(np.random.default_rng(6))["mask"])


@pytest.mark.parametrize("size", [1, 7, 12, 40])
def test_the_masked_patches_come_first_and_in_order(size):
    mask = torch.rand(5, 8, generator=torch.Generator().manual_seed(0)) < 0.3
    found = mask.flatten().nonzero().flatten()[:size]
    masked = find_masked_patches(mask, size)
    assert len(masked.index) == size
    assert torch.equal(masked.index[: len(found)], found)
    assert masked.is_masked.tolist() == [True] * len(found) + [False] * (size - len(found))
    weights = [1 / int(mask[i // 8].sum()) for i in found.tolist()]
    assert masked.weights[: len(found)].tolist() == pytest.approx(weights)
    assert masked.weights[len(found) :].sum() == 0


def test_every_masked_image_weighs_one():
    mask = torch.zeros(4, 6, dtype=torch.bool)
    mask[0, :2] = mask[2, 1] = mask[3, :] = True
    masked = find_masked_patches(mask, 24)
    for row, weight in enumerate((1, 0, 1, 1)):
        assert masked.weights[masked.index // 6 == row].sum() == pytest.approx(weight)


def test_selected_rows_are_those_of_the_patches():
    mask = torch.tensor([[False, True], [True, False]])
    patches = torch.arange(8.0).view(2, 2, 2)
    assert find_masked_patches(mask, 2).select(patches).tolist() == [[2, 3], [4, 5]]


@pytest.mark.parametrize(
    "args",
    [
        MaskArgs(),
        MaskArgs(probability=1.0),
        MaskArgs(probability=1.0, min_ratio=0.5),
        MaskArgs(probability=0.0),
        MaskArgs(probability=0.1, max_ratio=1.0),
    ],
)
@pytest.mark.parametrize("images_per_batch", [1, 8, 64])
def test_there_are_enough_rows(args, images_per_batch):
    masks = masks_of(args, num_images=10 * images_per_batch if images_per_batch < 64 else 128)
    batches = masks.flatten(1).sum(dim=1).view(-1, images_per_batch).sum(dim=1)
    num_rows = max_masked_patches(2 * images_per_batch, 64, args)
    assert batches.max() <= num_rows
    assert 1 <= num_rows <= 2 * images_per_batch * 64


def test_there_are_far_fewer_rows_than_patches_that_could_be_masked():
    assert max_masked_patches(256, 256, MaskArgs()) < 0.45 * 256 * 128


def test_a_range_that_is_turned_around_is_refused():
    with pytest.raises(ValueError, match="min_ratio"):
        MaskArgs(min_ratio=0.5, max_ratio=0.2)


@pytest.mark.parametrize(
    ("grid", "smallest"), [((14, 14), 16), ((14, 20), 16), ((8, 9), 4), ((4, 4), 1), ((2, 2), 1)]
)
def test_the_smallest_block_of_ibot_is_a_ninth_of_the_shorter_sides_square(grid, smallest):
    assert DINOv2Config().mask.smallest_block == DINOv3Config().mask.smallest_block == 4
    found = masks_of(IBOTConfig().mask, grid, num_images=50)
    expected = masks_of(MaskArgs(smallest_block=smallest), grid, num_images=50)
    assert torch.equal(found, expected)
    if smallest != 4:
        assert not torch.equal(found, masks_of(MaskArgs(), grid, num_images=50))


def test_a_block_without_patches_is_refused():
    with pytest.raises(ValueError, match="'smallest_block' must be >= 1 or None, got 0"):
        MaskArgs(smallest_block=0)
