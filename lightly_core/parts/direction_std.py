"""Standard deviation of directions, a signal of collapse."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.precision import no_autocast, single


@torch.no_grad()
def direction_std(x: Tensor) -> Tensor:
    """Return the standard deviation of the rows' directions, a collapse signal.

    The standard deviation of every dimension over the L2-normalised rows, averaged and multiplied
    by sqrt(D) (Chen & He 2021, https://arxiv.org/abs/2011.10566).

    Args:
        x: Rows of this process, (N, D), of any length.

    Returns:
        Scalar, at least float32, no gradient. It is 1 for uniform directions, and 0 if all are
        equal, which means that the network has collapsed.
    """
    with no_autocast(x.device):
        rows = F.normalize(single(x), dim=1)
        std: Tensor = rows.std(dim=0, correction=0).mean() * x.shape[1] ** 0.5
        return std
