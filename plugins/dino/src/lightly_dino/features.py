"""A backbone's features, with or without hidden patches.

Shapes: R images, C channels, D features, N = h * w positions, T width of the mask token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from lightly_core.contracts import ModelWrapper
from lightly_core.contracts.capabilities import TokenModel
from lightly_core.parts.multicrop import forward_by_size


class Features(NamedTuple):
    """What the methods use of a backbone.

    Attributes:
        pooled: What the backbone pools to, the class token in most transformers, (R, D).
        patches: Features of the positions, (R, N, D).
    """

    pooled: Tensor
    patches: Tensor


def encode(
    backbone: nn.Module,
    images: Tensor,
    mask: Tensor | None = None,
    mask_token: Tensor | None = None,
) -> Features:
    """Run a backbone.

    Args:
        backbone: A `ModelWrapper`; one that is a `TokenModel` where there is a mask.
        images: (R, C, H, W).
        mask: Positions to hide, (R, N) bool.
        mask_token: What stands in their places, (T,).
    """
    wrapper = cast(ModelWrapper, backbone)
    if mask is None:
        found = wrapper.forward_features(images)
    else:
        model = cast(TokenModel, backbone)
        tokens = model.forward_tokens(images, mask=mask, mask_token=mask_token)
        grid = model.token_grid(images.shape[2], images.shape[3])
        patches = tokens["patch_tokens"]  # (R, N, D)
        features = patches.transpose(1, 2).reshape(len(patches), -1, *grid)  # (R, D, h, w)
        found = {**tokens, "features": features}
    pooled = wrapper.forward_pool(found)["pooled_features"].flatten(1)
    return Features(pooled, found["features"].flatten(2).transpose(1, 2))


def encode_views(backbone: nn.Module, views: Sequence[Tensor]) -> list[Features]:
    """Return the features of each view (B, C, H, W), those of one size in one pass."""
    outputs = forward_by_size(lambda images: encode(backbone, images)._asdict(), views)
    return [Features(**output) for output in outputs]


def stack_pooled(views: Sequence[Features]) -> Tensor:
    """Return the pooled features of V views of the same images as one tensor, (V, B, D)."""
    return torch.stack([view.pooled for view in views])


def apply_head(head: nn.Module, x: Tensor) -> Tensor:
    """Apply a head to the last dimension, all rows as one batch: (..., D) to (..., K)."""
    rows: Tensor = head(x.flatten(0, -2))
    return rows.reshape(*x.shape[:-1], -1)
