"""The loss of SimSiam and FastSiam. V views, B images, P = width of the projections."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightly_core.parts.cosine import cosine_distance
from lightly_core.parts.precision import single


def siamese_loss(predictions: Sequence[Tensor], projections: Sequence[Tensor]) -> Tensor:
    """Let each view predict the mean projection of all other views.

    The plain form::

        loss = mean over v and b of
            -cosine(predictions[v][b], mean over w != v of projections[w][b])

    The mean is taken before lengths are brought to 1. With two views it is the other view:
    SimSiam, https://arxiv.org/abs/2011.10566; with more, FastSiam,
    https://doi.org/10.1007/978-3-031-16788-1_4.

    Args:
        predictions: V tensors (B, P), any length.
        projections: V tensors (B, P), any length; no gradient flows into them.

    Returns:
        Scalar in [-1, 1], at least float32.
    """
    targets = [single(z.detach()) for z in projections]
    others = [
        torch.stack([*targets[:v], *targets[v + 1 :]]).mean(dim=0) for v in range(len(targets))
    ]
    return cosine_distance(torch.stack(list(predictions)), torch.stack(others)) - 1
