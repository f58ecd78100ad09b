"""Positions of two views that show the same.

B images on this process, S and T positions of the feature maps, D channels, P channels of the
projection.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightly_core.parts.contrast import unit
from lightly_core.parts.precision import no_autocast


@torch.no_grad()
def matches(query_features: Tensor, key_features: Tensor) -> Tensor:
    """Return for each position of a query the most similar one of its image's key.

    ``match[b, s] = argmax over t of cos(query[b, s], key[b, t])``, of the backbone's features: the
    projections would agree from the start on what they are trained for.

    Args:
        query_features: (B, S, D).
        key_features: (B, T, D).

    Returns:
        (B, S) int64, in [0, T).
    """
    with no_autocast(query_features.device):
        similarity = unit(query_features) @ unit(key_features).transpose(1, 2)  # (B, S, T)
    return similarity.argmax(dim=2)


def take(x: Tensor, index: Tensor) -> Tensor:
    """Return x[b, index[b, s]] for all b and s, (B, S, P).

    Args:
        x: (B, T, P).
        index: (B, S) int64.
    """
    return x.gather(1, index[:, :, None].expand(-1, -1, x.shape[2]))
