"""Masks of patches, sampled in the loader's workers.

The result of each function depends on its arguments and the given generator only, so masks are
determined by seed, epoch and image. A mask is a bool array (h, w), true where a patch is masked.
N = h * w. Class and register tokens are never part of a mask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Grid = tuple[int, int]

# Attempts to place a block before BEiT's procedure stops.
_BLOCK_TRIES = 10


def hidden_count(ratio: float, total: int) -> int:
    """Return how many of `total` patches are masked: the fraction `ratio`, rounded up.

    As in the code of MAE, SimMIM and MSN. MAE and MSN round the number of visible patches down.
    """
    # A product that should be an integer, such as 0.07 * 100, may be slightly larger.
    return math.ceil(ratio * total - 1e-9)


def random_mask(rng: np.random.Generator, grid: Grid, ratio: float, *, cell: int = 1) -> np.ndarray:
    """Mask random patches, or random square cells of patches.

    ``cell=1``: MAE (https://arxiv.org/abs/2111.06377), ratio 0.75, and MSN
    (https://arxiv.org/abs/2204.07141). Larger cells: SimMIM (https://arxiv.org/abs/2111.09886),
    cells of 32 pixels, ratio 0.6.

    Args:
        rng: The only source of randomness.
        grid: (h, w).
        ratio: Fraction of the cells to mask, in [0, 1], rounded up to whole cells.
        cell: Side of a cell in patches. Cells at the lower and right border are smaller if the
            grid is not a multiple of it.

    Raises:
        ValueError: `ratio` or `cell` is out of range.
    """
    _check_fraction("ratio", ratio)
    if cell < 1:
        raise ValueError(f"expected cell >= 1, got {cell}")
    rows, columns = -(-grid[0] // cell), -(-grid[1] // cell)
    mask = np.zeros((rows, columns), dtype=bool)
    mask.reshape(-1)[rng.permutation(mask.size)[: hidden_count(ratio, mask.size)]] = True
    if cell > 1:
        mask = mask.repeat(cell, axis=0).repeat(cell, axis=1)[: grid[0], : grid[1]]
    return mask


def sample_count(
    rng: np.random.Generator,
    num_patches: int,
    *,
    probability: float = 0.5,
    ratio: tuple[float, float] = (0.1, 0.5),
) -> int:
    """Sample how many patches of an image are masked.

    The defaults are those of DINOv2 (https://arxiv.org/abs/2304.07193): half of the images are
    masked, with uniform ratios. DINOv2 spaces the ratios evenly within each batch. Here each image
    is sampled independently, so ratios are uniform in expectation.

    Args:
        rng: The only source of randomness.
        num_patches: N.
        probability: Probability that an image is masked, in [0, 1].
        ratio: Smallest and largest fraction of masked patches, in [0, 1].

    Returns:
        A number in [0, N].
    """
    masked, position = rng.random(2).tolist()
    if masked >= probability:
        return 0
    fraction: float = ratio[0] + (ratio[1] - ratio[0]) * position
    return round(fraction * num_patches)


def block_mask(
    rng: np.random.Generator,
    grid: Grid,
    count: int,
    *,
    smallest_block: int = 4,
    aspect: tuple[float, float] = (0.3, 1 / 0.3),
    exact: bool = True,
) -> np.ndarray:
    """Mask random blocks until `count` patches are masked.

    The area of a block is uniform between `smallest_block` and the number of patches that remain
    to be masked. The logarithm of height / width is uniform. A block is accepted if it lies in the
    grid and masks at least one new patch but not too many. The procedure stops after ten rejected
    blocks in a row. BEiT (https://arxiv.org/abs/2106.08254), iBOT
    (https://arxiv.org/abs/2111.07832), DINOv2 (https://arxiv.org/abs/2304.07193).

    Args:
        rng: The only source of randomness.
        grid: (h, w).
        count: Number of patches to mask, in [0, N].
        smallest_block: Smallest area of a block in patches: 4 in DINOv2, 16 in BEiT and iBOT.
        aspect: Smallest and largest height / width of a block, > 0.
        exact: Whether random single patches are masked if the blocks have fewer than `count`
            (DINOv3). If False, the mask may have fewer patches.

    Raises:
        ValueError: `count` is out of range.
    """
    height, width = grid
    if not 0 <= count <= height * width:
        raise ValueError(f"expected count in [0, {height * width}], got {count}")
    mask = np.zeros(grid, dtype=bool)
    hidden = 0
    while hidden < count:
        added = _add_block(rng, mask, count - hidden, smallest_block, aspect)
        if added == 0:
            break
        hidden += added
    if exact and hidden < count:
        visible = np.flatnonzero(~mask)
        mask.reshape(-1)[rng.permutation(visible)[: count - hidden]] = True
    return mask


def inverse_block_mask(
    rng: np.random.Generator,
    grid: Grid,
    ratio: float,
    *,
    aspect: tuple[float, float] = (0.5, 2.0),
    roll: bool = True,
) -> np.ndarray:
    """Mask everything but one block (CAPI, https://arxiv.org/abs/2502.08769).

    The first or last row of the block is cut so that the ratio is exact.

    Args:
        rng: The only source of randomness.
        grid: (h, w).
        ratio: Fraction of masked patches, in [0, 1], rounded to whole patches. CAPI uses 0.65.
        aspect: Smallest and largest height / width of the block, > 0. The logarithm is uniform. A
            block that does not fit into the grid becomes longer or wider.
        roll: Whether the block wraps around at the border, so that all patches are visible equally
            often. If False, it lies within the grid.

    Raises:
        ValueError: `ratio` is out of range.
    """
    _check_fraction("ratio", ratio)
    height, width = grid
    visible = height * width - round(ratio * height * width)
    mask = np.ones(grid, dtype=bool)
    if visible == 0:
        return mask
    shape, cut, down, right = rng.random(4).tolist()
    rows, columns = _block_shape(visible, _between(aspect, shape), grid)
    row, column = _cut_block(rows, columns, visible, cut)
    if roll:
        mask[(row + int(down * height)) % height, (column + int(right * width)) % width] = False
    else:
        top, left = int(down * (height - rows + 1)), int(right * (width - columns + 1))
        mask[row + top, column + left] = False
    return mask


class MultiBlock(NamedTuple):
    """Result of `multi_block`: patch indices in row-major order, as int64.

    Attributes:
        context: Patches that the encoder gets, (C,), ascending.
        targets: Patches of each target block, (number of targets, M), ascending within a block.
    """

    context: np.ndarray
    targets: np.ndarray


def multi_block(
    rng: np.random.Generator,
    grid: Grid,
    *,
    num_targets: int = 4,
    target_ratio: float = 0.175,
    target_aspect: tuple[float, float] = (0.75, 1.5),
    context_ratio: float = 0.25,
    context_scale: tuple[float, float] = (0.85, 1.0),
) -> MultiBlock:
    """Sample target blocks, and a context block without their patches (I-JEPA).

    The paper samples sizes once per batch (targets of 0.15 to 0.2 of the image) and then cuts all
    contexts to the smallest of the batch. Here each image is sampled independently, and the arrays
    of all images must have one shape. So sizes are fixed, and blocks vary in position and aspect
    only. The first or last row of a target block is cut to the size. Random patches are removed
    from a context that is too large. If too few patches remain after those of the targets are
    removed, patches outside the context block that are in no target are added.
    https://arxiv.org/abs/2301.08243

    Args:
        rng: The only source of randomness.
        grid: (h, w).
        num_targets: Number of target blocks. They may overlap.
        target_ratio: Size of a target block as a fraction of N.
        target_aspect: Smallest and largest height / width of a target block, > 0.
        context_ratio: Size of the context as a fraction of N. The paper's cutting gives about 0.25
            for 128 images of 14 x 14 patches.
        context_scale: Smallest and largest size of the square context block, before the targets
            are removed, as a fraction of N.

    Returns:
        Arrays whose shapes depend on the grid and the settings only. No target patch is in the
        context.

    Raises:
        ValueError: Targets without overlap would leave too few patches for the context.
    """
    size = grid[0] * grid[1]
    num_context = max(1, round(context_ratio * size))
    num_target = max(1, round(target_ratio * size))
    if num_context + num_targets * num_target > size:
        raise ValueError(
            f"{num_targets} targets of {num_target} patches leave no {num_context} of {size} "
            "patches for the context; expected smaller ratios, or a larger grid"
        )
    (scale, _, down, right), *numbers = rng.random((num_targets + 1, 4)).tolist()
    targets = np.stack([_target_block(four, grid, num_target, target_aspect) for four in numbers])
    side = math.sqrt((context_scale[0] + (context_scale[1] - context_scale[0]) * scale) * size)
    rows, columns = (max(1, min(length, round(side))) for length in grid)
    top, left = int(down * (grid[0] - rows + 1)), int(right * (grid[1] - columns + 1))
    # Patches in random order, those in the block first, those in targets last.
    order = np.ones(size)
    order.reshape(grid)[top : top + rows, left : left + columns] = 0
    order[targets.reshape(-1)] = 2
    order += rng.random(size)
    context = np.sort(np.argpartition(order, num_context - 1)[:num_context])
    return MultiBlock(context, targets)


def _add_block(
    rng: np.random.Generator,
    mask: np.ndarray,
    remaining: int,
    smallest: int,
    aspect: tuple[float, float],
) -> int:
    """Mask one more block in place. Return the number of new patches, 0 if no block fits."""
    height, width = mask.shape
    least = min(smallest, remaining)
    # All attempts at once, since a call of the generator costs more than the numbers.
    for area, shape, down, right in rng.random((_BLOCK_TRIES, 4)).tolist():
        block_area = least + (remaining - least) * area
        ratio = _between(aspect, shape)
        rows = max(1, round(math.sqrt(block_area * ratio)))
        columns = max(1, round(math.sqrt(block_area / ratio)))
        if rows > height or columns > width:
            continue
        top, left = int(down * (height - rows + 1)), int(right * (width - columns + 1))
        block = mask[top : top + rows, left : left + columns]
        added = rows * columns - int(np.count_nonzero(block))
        if 0 < added <= remaining:
            block[...] = True
            return added
    return 0


def _target_block(
    numbers: Sequence[float], grid: Grid, count: int, aspect: tuple[float, float]
) -> np.ndarray:
    """Return the patch indices of one target block, (count,), ascending.

    Args:
        numbers: Four random numbers in [0, 1).
        grid: (h, w).
        count: Number of patches of the block.
        aspect: Smallest and largest height / width.
    """
    shape, cut, down, right = numbers
    rows, columns = _block_shape(count, _between(aspect, shape), grid)
    row, column = _cut_block(rows, columns, count, cut)
    top, left = int(down * (grid[0] - rows + 1)), int(right * (grid[1] - columns + 1))
    return np.asarray((row + top) * grid[1] + column + left)


def _between(aspect: tuple[float, float], position: float) -> float:
    """Interpolate between two ratios in the logarithm, with a position in [0, 1]."""
    return math.exp((1 - position) * math.log(aspect[0]) + position * math.log(aspect[1]))


def _block_shape(count: int, ratio: float, grid: Grid) -> Grid:
    """Return the smallest rows and columns for `count` patches, of which one row may be partial.

    Args:
        count: In [1, N].
        ratio: Desired height / width.
        grid: (h, w), the upper limit of both.
    """
    height, width = grid
    columns = min(width, max(1, round(math.sqrt(count / ratio)), -(-count // height)))
    return -(-count // columns), columns


def _cut_block(rows: int, columns: int, count: int, cut: float) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column of the patches of a block that is cut to `count`.

    Patches are removed at the start of the first row if `cut` >= 0.5, else at the end of the last.
    """
    start = rows * columns - count if cut >= 0.5 else 0
    numbers = np.arange(start, start + count)
    row = numbers // columns
    return row, numbers - row * columns


def _check_fraction(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"expected {name} in [0, 1], got {value}")
