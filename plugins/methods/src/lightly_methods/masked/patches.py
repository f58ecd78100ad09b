"""Patches of images: which are hidden, their pixels and their tokens.

Shapes: B images, C channels, p side of a patch, N = h * w patches, M of them chosen, D features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lightly_core.contracts import ModelWrapper
from lightly_core.errors import ConfigError
from lightly_core.parts.masking import hidden_count, random_mask

Grid = tuple[int, int]


@dataclass(frozen=True)
class RandomSplit:
    """Splits the patches of an image at random; see `lightly_core.parts.masking.random_mask`.

    Attributes:
        grid: (h, w), N = h * w.
        ratio: Fraction of hidden patches, in [0, 1].
    """

    grid: Grid
    ratio: float

    def __call__(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return the ascending patch numbers ``keep`` (N - M,) and ``hidden`` (M,), int64."""
        return split(random_mask(rng, self.grid, self.ratio))

    def require_both_kinds(self, method: str) -> None:
        """Refuse a ratio that hides no patch or all of them.

        Raises:
            ConfigError: The patches are all visible or all hidden.
        """
        num_patches = math.prod(self.grid)
        check_ratio(method, self.ratio, hidden_count(self.ratio, num_patches), num_patches)

    def require_visible(self, method: str) -> None:
        """Refuse a ratio that hides all patches; it may hide none.

        Raises:
            ConfigError: The patches are all hidden.
        """
        num_patches = math.prod(self.grid)
        if hidden_count(self.ratio, num_patches) >= num_patches:
            raise ConfigError(
                f"method '{method}' got mask_ratio={self.ratio}, which masks all "
                f"{num_patches} patches, expected at least one to remain; set a smaller "
                "method_args.mask_ratio, or larger images"
            )


def split(mask: np.ndarray) -> dict[str, Tensor]:
    """Return the patch numbers of a mask (h, w): visible ones ``keep``, true ones ``hidden``."""
    flat = mask.reshape(-1)
    return {
        "keep": torch.from_numpy(np.flatnonzero(~flat)),
        "hidden": torch.from_numpy(np.flatnonzero(flat)),
    }


def check_ratio(method: str, ratio: float, hidden: int, num_patches: int) -> None:
    """Refuse masks that hide nothing or everything.

    Raises:
        ConfigError: `hidden` patches, to which `ratio` was rounded, are none or all.
    """
    if not 0 < hidden < num_patches:
        raise ConfigError(
            f"method '{method}' got mask_ratio={ratio} for {num_patches} patches, which hides "
            f"{hidden} of them, expected at least one hidden and one visible; set another "
            "method_args.mask_ratio, or larger images"
        )


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
