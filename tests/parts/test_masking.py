import math

import numpy as np
import pytest

from lightly_core.parts.masking import (
    block_mask,
    inverse_block_mask,
    multi_block,
    random_mask,
    sample_count,
)

GRIDS = [(14, 14), (16, 12), (4, 4), (7, 3)]


def generator(seed=0):
    return np.random.default_rng(seed)


MAKERS = {
    "random": lambda rng, grid: random_mask(rng, grid, 0.75),
    "cells": lambda rng, grid: random_mask(rng, grid, 0.5, cell=2),
    "block": lambda rng, grid: block_mask(rng, grid, grid[0] * grid[1] // 3),
    "inverse_block": lambda rng, grid: inverse_block_mask(rng, grid, 0.65),
}


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("name", MAKERS)
def test_masks_are_bool_grids_that_follow_from_the_generator(name, grid):
    first, again, other = (MAKERS[name](generator(seed), grid) for seed in (0, 0, 1))
    assert first.dtype == bool
    assert first.shape == grid
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def count_of_columns(name, grid, repeats=3000):
    rng = generator()
    return sum(MAKERS[name](rng, grid).astype(float) for _ in range(repeats)) / repeats


@pytest.mark.parametrize("name", ["random", "inverse_block"])
def test_all_patches_are_hidden_equally_often(name):
    shares = count_of_columns(name, (4, 4))
    # Shares of 0.75 and of 10 / 16, with deviation 0.01.
    np.testing.assert_allclose(shares, {"random": 0.75, "inverse_block": 0.625}[name], atol=0.04)


# --------------------------------------------------------------------------- random


@pytest.mark.parametrize("ratio", [0, 0.15, 0.6, 0.75, 1])
@pytest.mark.parametrize("grid", GRIDS)
def test_a_random_mask_hides_exactly_its_ratio(grid, ratio):
    for seed in range(5):
        mask = random_mask(generator(seed), grid, ratio)
        size = grid[0] * grid[1]
        assert size * ratio <= mask.sum() < size * ratio + 1


@pytest.mark.parametrize(
    ("side", "cell", "ratio", "hidden"),
    [
        (14, 2, 0.6, 30 * 4),  # SimMIM: ceil(0.6 * 49) cells
        (14, 1, 0.75, 196 - 49),  # MAE keeps int(0.25 * 196)
        (14, 1, 0.15, 196 - 166),  # MSN keeps floor(0.85 * 196)
        (10, 1, 0.07, 7),  # 0.07 * 100 is 7.000000000000001
    ],
)
def test_a_random_mask_hides_as_many_as_the_papers_code(side, cell, ratio, hidden):
    assert random_mask(generator(), (side, side), ratio, cell=cell).sum() == hidden


def test_cells_are_hidden_as_a_whole():
    mask = random_mask(generator(), (8, 12), 0.6, cell=4)
    cells = mask.reshape(2, 4, 3, 4).swapaxes(1, 2).reshape(6, 16)
    assert np.array_equal(cells.all(axis=1), cells.any(axis=1))
    assert cells.all(axis=1).sum() == 4  # 3.6, rounded up


def test_cells_are_cut_at_the_border():
    mask = random_mask(generator(), (5, 5), 1, cell=4)
    assert mask.shape == (5, 5)
    assert mask.all()


@pytest.mark.parametrize("arguments", [{"ratio": 1.1}, {"ratio": -0.1}, {"ratio": 0.5, "cell": 0}])
def test_impossible_random_masks_are_refused(arguments):
    with pytest.raises(ValueError, match="expected"):
        random_mask(generator(), (4, 4), **arguments)


# --------------------------------------------------------------------------- count


def test_half_of_the_images_are_masked_with_evenly_spread_ratios():
    rng = generator()
    counts = np.array([sample_count(rng, 1000) for _ in range(4000)])
    masked = counts[counts > 0]
    assert len(masked) / 4000 == pytest.approx(0.5, abs=0.03)
    assert 100 <= masked.min() <= 105
    assert 495 <= masked.max() <= 500
    assert masked.mean() == pytest.approx(300, abs=10)
    assert masked.std() == pytest.approx(400 / math.sqrt(12), abs=5)


@pytest.mark.parametrize(("probability", "expected"), [(0, 0), (1, 50)])
def test_never_and_always(probability, expected):
    rng = generator()
    counts = {sample_count(rng, 100, probability=probability, ratio=(0.5, 0.5)) for _ in range(20)}
    assert counts == {expected}


# --------------------------------------------------------------------------- blocks


@pytest.mark.parametrize("grid", GRIDS)
def test_a_block_mask_hides_exactly_its_count(grid):
    size = grid[0] * grid[1]
    for seed, count in enumerate([0, 1, 3, size // 4, size // 2, size - 1, size]):
        assert block_mask(generator(seed), grid, count).sum() == count


def test_without_completion_at_most_the_count_is_hidden():
    sums = [block_mask(generator(seed), (14, 14), 60, exact=False).sum() for seed in range(200)]
    assert max(sums) <= 60
    # Blocks may stop early, but not by much.
    assert np.mean(sums) > 55


def test_a_single_block_has_the_area_and_aspect_that_were_asked_for():
    heights, widths = [], []
    for seed in range(300):
        # No room for a second block: what is left is below the smallest one.
        rng = generator(seed)
        mask = block_mask(rng, (40, 40), 36, smallest_block=36, aspect=(0.25, 4), exact=False)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if mask.sum() == len(rows) * len(columns):
            heights.append(len(rows))
            widths.append(len(columns))
    ratios = np.log(np.array(heights) / np.array(widths))
    assert len(ratios) > 100
    assert (np.array(heights) * np.array(widths)).max() <= 36
    # Rounding to whole patches: 3 x 12 at the most.
    assert np.abs(ratios).max() <= math.log(4) + 1e-9
    assert np.abs(ratios.mean()) < 0.25
    assert np.abs(ratios).max() > 1


def neighbours(mask):
    """Share of hidden patches whose right neighbour is hidden too."""
    return (mask[:, :-1] & mask[:, 1:]).sum() / mask[:, :-1].sum()


def test_blocks_hang_together_and_single_patches_do_not():
    blocks = np.mean([neighbours(block_mask(generator(s), (14, 14), 60)) for s in range(50)])
    single = np.mean([neighbours(random_mask(generator(s), (14, 14), 60 / 196)) for s in range(50)])
    assert single == pytest.approx(60 / 196, abs=0.05)
    assert blocks > 2 * single


@pytest.mark.parametrize("count", [-1, 17])
def test_impossible_counts_are_refused(count):
    with pytest.raises(ValueError, match=rf"count in \[0, 16\], got {count}"):
        block_mask(generator(), (4, 4), count)


# ------------------------------------------------------------------- inverse blocks


@pytest.mark.parametrize("ratio", [0, 0.3, 0.65, 0.99, 1])
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("roll", [True, False])
def test_an_inverse_block_leaves_exactly_its_share_visible(grid, ratio, roll):
    for seed in range(5):
        mask = inverse_block_mask(generator(seed), grid, ratio, roll=roll)
        assert mask.sum() == round(ratio * grid[0] * grid[1])


def test_what_is_visible_is_one_rectangle_but_for_a_row():
    for seed in range(50):
        visible = ~inverse_block_mask(generator(seed), (14, 14), 0.65, roll=False)
        rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
        assert np.array_equal(rows, np.arange(rows[0], rows[-1] + 1))
        assert np.array_equal(columns, np.arange(columns[0], columns[-1] + 1))
        block = visible[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert (~block).any(axis=1).sum() <= 1
        assert 0.3 < len(rows) / len(columns) < 3.3


def test_rolling_brings_the_block_over_the_border():
    def on_both_sides(mask):
        return (~mask[0]).any() and (~mask[-1]).any() and mask.all(axis=1).any()

    rolled = [inverse_block_mask(generator(seed), (14, 14), 0.65) for seed in range(50)]
    inside = [inverse_block_mask(generator(seed), (14, 14), 0.65, roll=False) for seed in range(50)]
    assert any(on_both_sides(mask) for mask in rolled)
    assert not any(on_both_sides(mask) for mask in inside)


# --------------------------------------------------------------------- multi-block


@pytest.mark.parametrize("grid", [(14, 14), (16, 12), (7, 7), (6, 5)])
def test_shapes_do_not_depend_on_the_generator(grid):
    size = grid[0] * grid[1]
    for seed in range(50):
        context, targets = multi_block(generator(seed), grid)
        assert context.shape == (round(0.25 * size),)
        assert targets.shape == (4, round(0.175 * size))
        assert context.dtype == targets.dtype == np.int64


def test_context_and_targets_do_not_overlap_and_nothing_is_repeated():
    for seed in range(200):
        context, targets = multi_block(generator(seed), (14, 14))
        assert not set(context.tolist()) & set(targets.reshape(-1).tolist())
        for row in [context, *targets]:
            assert np.array_equal(np.unique(row), row)
            assert row.min() >= 0
            assert row.max() < 196


def test_targets_are_blocks():
    for seed in range(50):
        for target in multi_block(generator(seed), (14, 14)).targets:
            mask = np.zeros(196, dtype=bool)
            mask[target] = True
            mask = mask.reshape(14, 14)
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            block = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            assert (~block).any(axis=1).sum() <= 1
            assert 0.6 < len(rows) / len(columns) < 1.8


def test_the_context_lies_in_its_block_where_there_is_room():
    # One small target leaves enough of a context block of a quarter of the image.
    for seed in range(50):
        context, _ = multi_block(
            generator(seed),
            (12, 12),
            num_targets=1,
            target_ratio=0.05,
            context_ratio=0.1,
            context_scale=(0.25, 0.25),
        )
        rows, columns = np.divmod(context, 12)
        assert np.ptp(rows) < 6
        assert np.ptp(columns) < 6


def test_the_seed_decides():
    first, again, other = (multi_block(generator(seed), (14, 14)) for seed in (0, 0, 1))
    assert np.array_equal(first.context, again.context)
    assert np.array_equal(first.targets, again.targets)
    assert not np.array_equal(first.targets, other.targets)


def test_too_large_targets_are_refused():
    with pytest.raises(ValueError, match="4 targets of 8 patches leave no 4 of 16"):
        multi_block(generator(), (4, 4), target_ratio=0.5)
