"""Unit vectors, cosine similarities, and the loss of BYOL and SimSiam."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.precision import no_autocast, single


def unit(x: Tensor) -> Tensor:
    """Return x (..., D) with vectors of length 1, at least float32; zeros stay zeros."""
    return F.normalize(single(x), dim=-1)


def cosines(rows: Tensor, columns: Tensor) -> Tensor:
    """Return the cosines (B, N) of rows (B, D) and columns (N, D), at least float32."""
    with no_autocast(rows.device):
        return unit(rows) @ unit(columns).T


def cosine_distance(prediction: Tensor, target: Tensor) -> Tensor:
    """Return one minus the mean cosine of rows.

    Twice this is the squared distance of the rows at length 1, the loss of BYOL
    (https://arxiv.org/abs/2006.07733). SimSiam (https://arxiv.org/abs/2011.10566) omits the 1.

    Args:
        prediction: (..., D), any length.
        target: (..., D). No gradient flows into it.

    Returns:
        Scalar in [0, 2], at least float32.
    """
    with no_autocast(prediction.device):
        return 1 - (unit(prediction) * unit(target.detach())).sum(dim=-1).mean()
