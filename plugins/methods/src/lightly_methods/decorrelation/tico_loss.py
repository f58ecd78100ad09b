"""The loss of TiCo.

B images on this process, P channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.covariance import second_moment
from lightly_core.parts.precision import no_autocast, single


def batch_moment(projections: Tensor) -> Tensor:
    """Return the second moments of directions over all processes, without gradient.

    Args:
        projections: (B, P), any length.

    Returns:
        (P, P), at least float32: the mean of ``z z^T`` with z of length 1, trace 1.
    """
    with torch.no_grad():
        z = F.normalize(single(projections), dim=1)
        return second_moment(z, z)


def covariance_contrast(projections: Tensor, moment: Tensor) -> Tensor:
    """Return how much projections lie in directions that are in use.

    The mean over images of ``z^T moment z`` with z of length 1.
    https://arxiv.org/abs/2206.10698

    Args:
        projections: (B, P), any length.
        moment: (P, P), no gradient flows into it.

    Returns:
        Scalar in [0, 1], at least float32: 1 where all projections, past and present, are equal,
        1 / P where all directions are used evenly.
    """
    with no_autocast(projections.device):
        z = F.normalize(single(projections), dim=1)
        return (z @ moment.detach().to(z.dtype) * z).sum(dim=1).mean()
