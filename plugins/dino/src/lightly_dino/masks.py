"""Hidden patches: drawn in the loader's workers, picked out on the device without waiting.

Shapes: B images, T global views, R = T * B, N patches, M rows that are picked out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lightly_core.parts.masking import block_mask, draw_count
from lightly_dino.config_tokens import MaskArgs

#: So many standard deviations above the mean there is room for, see `budget`.
_DEVIATIONS = 4.0


@dataclass(frozen=True)
class BlockMasks:
    """Draws the masks of an image's global views, as `Method.sample_extras` wants it.

    Attributes:
        grid: Rows and columns of patches.
        num_views: T.
        args: How much is hidden.
    """

    grid: tuple[int, int]
    num_views: int
    args: MaskArgs

    def __call__(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return ``mask`` (T, N) bool, true where a patch is hidden."""
        args = self.args
        smallest = args.smallest_block or max(1, (min(self.grid) // 3) ** 2)
        masks = []
        for _ in range(self.num_views):
            count = draw_count(
                rng,
                self.grid[0] * self.grid[1],
                probability=args.probability,
                ratio=(args.min_ratio, args.max_ratio),
            )
            mask = block_mask(rng, self.grid, count, smallest_block=smallest)
            masks.append(mask.reshape(-1))
        return {"mask": torch.from_numpy(np.stack(masks))}


@dataclass(frozen=True)
class Picked:
    """The hidden patches of a batch, in tensors whose shapes do not depend on the masks.

    Attributes:
        index: Places among all R * N patches, (M,) int64; at the end some that are not hidden.
        counted: Which of them are hidden, (M,) bool.
        weights: 1 / (hidden patches of the image) where counted, else 0; (M,).
        num_images: R.
    """

    index: Tensor
    counted: Tensor
    weights: Tensor
    num_images: int

    def of(self, patches: Tensor) -> Tensor:
        """Return the rows (M, D) of patches (R, N, D)."""
        return patches.flatten(0, 1).index_select(0, self.index)


def pick(mask: Tensor, size: int) -> Picked:
    """Find the hidden patches on the device.

    Their number is not known on the host, and asking for it would wait for the device. So a fixed
    number is taken, the hidden ones first.

    Args:
        mask: (R, N) bool.
        size: M, in [1, R * N]; from `budget`.
    """
    flat = mask.flatten().to(torch.uint8)  # (R * N,)
    index = flat.argsort(descending=True, stable=True)[:size]  # (M,)
    counted = mask.flatten().index_select(0, index)
    per_image = mask.sum(dim=1).clamp(min=1)  # (R,)
    weights = counted / per_image.index_select(0, index // mask.shape[1])
    return Picked(index, counted, weights, len(mask))


def budget(num_images: int, num_patches: int, args: MaskArgs) -> int:
    """Return how many rows suffice for the hidden patches of a batch.

    The mean and four standard deviations: a batch in 30,000 has more, and the loss then leaves its
    last ones out. All that could be hidden would be three times the mean.

    Args:
        num_images: R.
        num_patches: N.
        args: How masks are drawn.
    """
    low, high, chance = args.min_ratio, args.max_ratio, args.probability
    mean = chance * (low + high) / 2
    variance = chance * (low**2 + low * high + high**2) / 3 - mean**2
    share = num_images * mean + _DEVIATIONS * math.sqrt(num_images * max(variance, 0.0))
    # Numbers of patches are rounded one image at a time.
    most = num_images * math.ceil(high * num_patches)
    return max(1, min(most, math.ceil(share * num_patches) + num_images, num_images * num_patches))
