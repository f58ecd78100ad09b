"""Position embeddings for images of other sizes, interpolated as in Meta's published code."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def interpolate_positions(
    positions: Tensor, grid: tuple[int, int], size: tuple[int, int], *, registers: bool
) -> Tensor:
    """Interpolate the embeddings of patches.

    The models with registers came later and interpolate with antialiasing to the wanted size. The
    first ones pass a scale factor of a tenth of a patch too much, which shifts the sampling points
    a little; weights were trained with it, so it is part of the model.

    Args:
        positions: Embeddings of the native grid, row by row, (1, h * w, D).
        grid: The native grid (h, w).
        size: The wanted grid (H, W).
        registers: Whether the model has register tokens.

    Returns:
        (1, H * W, D), of the type of `positions`.
    """
    if size == grid:
        return positions
    width = positions.shape[2]
    maps = positions.float().reshape(1, *grid, width).permute(0, 3, 1, 2)  # (1, D, h, w)
    if registers:
        maps = F.interpolate(maps, size=size, mode="bicubic", antialias=True)
    else:
        factors = [(wanted + 0.1) / native for wanted, native in zip(size, grid, strict=True)]
        maps = F.interpolate(maps, scale_factor=factors, mode="bicubic")
    return maps.flatten(2).transpose(1, 2).to(positions.dtype)  # (1, H * W, D)
