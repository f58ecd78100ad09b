"""The loss of BYOL. S views of the student, T of the teacher, B images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightly_core.parts.cosine import cosine_distance


def byol_loss(predictions: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Bring each view's prediction to what the teacher makes of every other view.

    Four times the mean over pairs of different views s, t and over images b of::

        1 - cosine(predictions[s][b], targets[t][b])

    With two views this is the paper's sum of two squared distances (https://arxiv.org/abs/2006.07733,
    equation 2, made symmetric); more views do not change its size.

    Args:
        predictions: S tensors (B, P), any length; the first T show what the teacher's views show.
        targets: T tensors (B, P), any length; no gradient flows into them.

    Returns:
        Scalar in [0, 8], at least float32.
    """
    distances = [
        cosine_distance(prediction, target)
        for s, prediction in enumerate(predictions)
        for t, target in enumerate(targets)
        if s != t
    ]
    return 4 * torch.stack(distances).mean()
