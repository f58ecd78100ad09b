"""Checks of what a method gets, and handling of patch tokens.

Shapes: B images, C channels, p side of a patch, N = h * w patches, M of them picked out.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from lightly_core.contracts import Batch, ModelWrapper, RunContext
from lightly_core.contracts.capabilities import TokenModel
from lightly_core.errors import ConfigError
from lightly_core.methods.requirements import require_capability

Grid = tuple[int, int]


def patch_grid(model: ModelWrapper, context: RunContext, method: str) -> Grid:
    """Return the grid (h, w) of the patches of a global view.

    Args:
        model: Backbone of the run.
        context: Facts of the run.
        method: The method's name, for errors.

    Raises:
        ConfigError: The backbone has no patch tokens, or the image is no whole number of patches.
    """
    tokens = require_capability(model, TokenModel, f"method '{method}'")
    patch, sides = tokens.patch_size(), context.image_size
    if any(side % patch for side in sides):
        fitting = " x ".join(str(max(1, round(side / patch)) * patch) for side in sides)
        raise ConfigError(
            f"method '{method}' got images of {sides[0]} x {sides[1]} pixels and a model with "
            f"patches of {patch}, expected sides that are multiples of {patch}; the nearest is "
            f"transform_args.image_size={fitting}"
        )
    return tokens.token_grid(*sides)


def as_tokens(model: nn.Module | ModelWrapper) -> TokenModel:
    """Return a backbone that `patch_grid` has accepted as what it is."""
    return cast(TokenModel, model)


def only_view(batch: Batch, method: str) -> Tensor:
    """Return the single view (B, C, H, W) of a batch.

    Raises:
        ConfigError: There are more.
    """
    if len(batch.views) != 1:
        raise ConfigError(
            f"method '{method}' got {len(batch.views)} views of an image, expected one; set "
            "transform_args.num_views=1 and no local views"
        )
    return batch.views[0]


def extra(batch: Batch, name: str) -> Tensor:
    """Return one of `Batch.extras` on the device of the views."""
    return batch.extras[name].to(batch.views[0].device, non_blocking=True)


def take(x: Tensor, index: Tensor) -> Tensor:
    """Pick rows of each image.

    Args:
        x: (B, N, D).
        index: (B, M) int64.

    Returns:
        (B, M, D).
    """
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[2]))


def pool_tokens(model: nn.Module, tokens: dict[str, Tensor]) -> Tensor:
    """Pool tokens as the backbone pools whole images.

    Args:
        model: A `ModelWrapper`.
        tokens: What `forward_tokens` returned for any number M of patches.

    Returns:
        (B, D).
    """
    features = tokens["patch_tokens"].transpose(1, 2)[..., None]  # (B, D, M, 1)
    pooled = cast(ModelWrapper, model).forward_pool({**tokens, "features": features})
    return pooled["pooled_features"].flatten(1)


def patch_pixels(images: Tensor, patch_size: int) -> Tensor:
    """Cut images into patches.

    Args:
        images: (B, C, H, W), sides multiples of `patch_size`.
        patch_size: p, in pixels.

    Returns:
        (B, N, p * p * C), patches row by row; in a patch pixels row by row, channels last.
    """
    batch_size, channels, height, width = images.shape
    rows, columns = height // patch_size, width // patch_size
    cut = images.reshape(batch_size, channels, rows, patch_size, columns, patch_size)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(batch_size, rows * columns, -1)


def normalize_patches(pixels: Tensor) -> Tensor:
    """Bring each patch to mean 0 and variance 1, the variance unbiased, plus 1e-6, as in MAE.

    Args:
        pixels: (..., p * p * C).
    """
    variance, mean = torch.var_mean(pixels, dim=-1, keepdim=True)
    return (pixels - mean) / (variance + 1e-6).sqrt()
