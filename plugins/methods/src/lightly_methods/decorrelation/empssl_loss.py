"""The loss of EMP-SSL.

V crops, B images on this process, P channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.coding_rate import coding_rate
from lightly_core.parts.precision import no_autocast, single


def emp_terms(projections: Tensor, *, eps: float) -> tuple[Tensor, Tensor]:
    """Return how far crops are from their image's mean, and how much room the images take.

    With z of length 1::

        distance = 1 - mean over v, i of cos(z[v, i], mean over v of z[v, i])
        rate     = mean over v of the coding rate of z[v]

    The loss is ``weight * distance - rate``: the rate is made large.
    https://arxiv.org/abs/2304.03977

    Args:
        projections: (V, B, P).
        eps: See `coding_rate`.

    Returns:
        Both, at least float32: the distance of this process's images, in [0, 2], and the rate over
        all processes, in nats.
    """
    rate = torch.stack([coding_rate(view, eps=eps) for view in projections]).mean()
    with no_autocast(projections.device):
        z = F.normalize(single(projections), dim=2)
        mean = F.normalize(z.mean(dim=0), dim=1)  # (B, P)
        distance = 1 - (z * mean).sum(dim=2).mean()
    return distance, rate
