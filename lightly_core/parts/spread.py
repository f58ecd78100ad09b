"""How far apart directions are: what falls to 0 when a network collapses."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.precision import no_autocast, single


@torch.no_grad()
def direction_std(x: Tensor) -> Tensor:
    """Return the spread of the rows' directions (Chen & He 2021, https://arxiv.org/abs/2011.10566).

    The standard deviation of every dimension over the L2-normalised rows, averaged and multiplied
    by sqrt(D).

    Args:
        x: (N, D), any length; the rows of this process only.

    Returns:
        Scalar, at least float32, no gradient: 1 when directions are spread evenly, 0 when all are
        the same.
    """
    with no_autocast(x.device):
        rows = F.normalize(single(x), dim=1)
        spread: Tensor = rows.std(dim=0, correction=0).mean() * x.shape[1] ** 0.5
        return spread
