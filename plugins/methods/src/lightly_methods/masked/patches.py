"""Patches of images, and tokens of patches.

Shapes: B images, C channels, p side of a patch, N = h * w patches, M of them chosen, D features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightly_core.contracts import ModelWrapper

Grid = tuple[int, int]


def take(x: Tensor, index: Tensor) -> Tensor:
    """Choose rows of each image.

    Args:
        x: (B, N, D).
        index: (B, M) int64.

    Returns:
        (B, M, D).
    """
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[2]))


def pool_tokens(model: ModelWrapper, tokens: dict[str, Tensor]) -> Tensor:
    """Pool the tokens of some patches as the backbone pools whole images.

    Args:
        model: The backbone.
        tokens: What `forward_tokens` returned for any number M of patches.

    Returns:
        (B, D).
    """
    features = tokens["patch_tokens"].transpose(1, 2)[..., None]  # (B, D, M, 1)
    return model.forward_pool({**tokens, "features": features})["pooled_features"].flatten(1)


def patch_pixels(images: Tensor, patch_size: int) -> Tensor:
    """Split images into patches.

    Args:
        images: (B, C, H, W), sides multiples of `patch_size`.
        patch_size: p, in pixels.

    Returns:
        (B, N, p * p * C), patches row by row; in a patch pixels row by row, channels last.
    """
    batch_size, channels, height, width = images.shape
    rows, columns = height // patch_size, width // patch_size
    patches = images.reshape(batch_size, channels, rows, patch_size, columns, patch_size)
    return patches.permute(0, 2, 4, 3, 5, 1).reshape(batch_size, rows * columns, -1)


def normalize_patches(pixels: Tensor) -> Tensor:
    """Normalise each patch to mean 0 and variance 1, as in MAE.

    The variance is unbiased, and 1e-6 is added to it.

    Args:
        pixels: (..., p * p * C).
    """
    variance, mean = torch.var_mean(pixels, dim=-1, keepdim=True)
    return (pixels - mean) / (variance + 1e-6).sqrt()
