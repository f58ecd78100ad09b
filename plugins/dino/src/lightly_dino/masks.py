"""Masks of patches: sampled in the loader's workers, converted to rows on the device.

Shapes: B images, T global views, R = T * B, N patches of a view, M rows for masked patches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lightly_core.parts.masking import block_mask, sample_count
from lightly_dino.base_config import MaskArgs

#: Standard deviations above the mean that there are rows for, see `max_masked_patches`.
_DEVIATIONS = 4.0


@dataclass(frozen=True)
class BlockMasks:
    """Samples the masks of an image's global views; what `Method.sample_extras` returns.

    Attributes:
        grid: Rows and columns of patches.
        num_views: T.
        args: How much is masked.
    """

    grid: tuple[int, int]
    num_views: int
    args: MaskArgs

    def __call__(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return ``mask`` (T, N) bool, true where a patch is masked."""
        args = self.args
        smallest = args.smallest_block or max(1, (min(self.grid) // 3) ** 2)
        masks = []
        for _ in range(self.num_views):
            count = sample_count(
                rng,
                self.grid[0] * self.grid[1],
                probability=args.probability,
                ratio=(args.min_ratio, args.max_ratio),
            )
            mask = block_mask(rng, self.grid, count, smallest_block=smallest)
            masks.append(mask.reshape(-1))
        return {"mask": torch.from_numpy(np.stack(masks))}


def new_mask_token(dim: int) -> nn.Parameter:
    """Return the token (dim,) that replaces masked patches."""
    token = nn.Parameter(torch.empty(dim))
    nn.init.trunc_normal_(token, std=0.02, a=-0.04, b=0.04)
    return token


@dataclass(frozen=True)
class MaskedPatches:
    """The masked patches of a batch, in tensors whose shapes do not depend on the masks.

    Attributes:
        index: Patch of each row among all R * N, (M,) int64; the last ones may not be masked.
        is_masked: Which rows are masked patches, (M,) bool.
        weights: 1 / (masked patches of the image) for these, 0 for the others; (M,).
    """

    index: Tensor
    is_masked: Tensor
    weights: Tensor

    def select(self, patches: Tensor) -> Tensor:
        """Return the rows (M, D) of patches (R, N, D)."""
        return patches.flatten(0, 1).index_select(0, self.index)


def find_masked_patches(mask: Tensor, num_rows: int) -> MaskedPatches:
    """List the masked patches without waiting for the device.

    The host does not know how many there are. So the number of rows is fixed, and the masked
    patches come first.

    Args:
        mask: (R, N) bool.
        num_rows: M, in [1, R * N]; from `max_masked_patches`.
    """
    flat = mask.flatten().to(torch.uint8)  # (R * N,)
    index = flat.argsort(descending=True, stable=True)[:num_rows]  # (M,)
    is_masked = mask.flatten().index_select(0, index)
    per_image = mask.sum(dim=1).clamp(min=1)  # (R,)
    weights = is_masked / per_image.index_select(0, index // mask.shape[1])
    return MaskedPatches(index, is_masked, weights)


def max_masked_patches(num_images: int, num_patches: int, args: MaskArgs) -> int:
    """Return how many rows are enough for the masked patches of a batch.

    The mean and four standard deviations. One batch in 30,000 has more masked patches, and the last
    of them then have no loss. Rows for all that could be masked would be three times the mean.

    Args:
        num_images: R.
        num_patches: N.
        args: How masks are sampled.
    """
    low, high, chance = args.min_ratio, args.max_ratio, args.probability
    mean = chance * (low + high) / 2
    variance = chance * (low**2 + low * high + high**2) / 3 - mean**2
    views = num_images * mean + _DEVIATIONS * math.sqrt(num_images * max(variance, 0.0))
    # Numbers of patches are rounded one image at a time.
    most = num_images * math.ceil(high * num_patches)
    return max(1, min(most, math.ceil(views * num_patches) + num_images, num_images * num_patches))
