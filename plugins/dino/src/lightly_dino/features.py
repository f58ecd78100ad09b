"""The backbone's features of views, with or without masked patches.

Shapes: R images, C channels, D features, N = h * w patches, V views of B images each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor

from lightly_core.contracts import ModelWrapper
from lightly_core.contracts.capabilities import TokenModel
from lightly_core.parts.multicrop import forward_by_size


class Features(NamedTuple):
    """What the methods use of a backbone.

    Attributes:
        pooled: What the backbone pools to, the class token in most transformers, (R, D).
        patches: Features of the patches, (R, N, D).
    """

    pooled: Tensor
    patches: Tensor


def encode(
    backbone: ModelWrapper,
    images: Tensor,
    mask: Tensor | None = None,
    mask_token: Tensor | None = None,
) -> Features:
    """Run a backbone.

    Args:
        backbone: One with the capability ``tokens`` where there is a mask.
        images: (R, C, H, W).
        mask: Patches to replace by the mask token, (R, N) bool.
        mask_token: (T,), T the width of the tokens.
    """
    if mask is None:
        output = backbone.forward_features(images)
    else:
        model = cast(TokenModel, backbone)
        tokens = model.forward_tokens(images, mask=mask, mask_token=mask_token)
        grid = model.token_grid(images.shape[2], images.shape[3])
        patches = tokens["patch_tokens"]  # (R, N, D)
        features = patches.transpose(1, 2).reshape(len(patches), -1, *grid)  # (R, D, h, w)
        output = {**tokens, "features": features}
    pooled = backbone.forward_pool(output)["pooled_features"].flatten(1)
    return Features(pooled, output["features"].flatten(2).transpose(1, 2))


def encode_views(backbone: ModelWrapper, views: Sequence[Tensor]) -> list[Features]:
    """Return the features of each view (B, C, H, W), those of one size in one pass."""
    outputs = forward_by_size(lambda images: encode(backbone, images)._asdict(), views)
    return [Features(**output) for output in outputs]


def pooled_by_view(features: Sequence[Features], num_views: int) -> Tensor:
    """Return the pooled features of V views of the same images as one tensor, (V, B, D).

    Args:
        features: Those of the views in their order, each of one or of several whole views.
        num_views: V.
    """
    pooled = torch.cat([feature.pooled for feature in features])  # (V * B, D)
    return pooled.reshape(num_views, -1, pooled.shape[1])
