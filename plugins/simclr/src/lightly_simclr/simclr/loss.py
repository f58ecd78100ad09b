"""NT-Xent, the normalised and temperature-scaled cross-entropy of SimCLR.

B images on this process, W processes, P channels of the projection.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.contrast import contrast_views


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding an image's other view among all views in the batch.

    For each of the 2B rows of this process, the 2BW - 1 other rows of all processes are candidates
    and one of them is right::

        loss = mean over i of -log(exp(s[i, pair(i)]) / sum over k != i of exp(s[i, k]))

    where s is the cosine similarity divided by the temperature. Averaging the gradients over
    processes gives the gradient of one large batch. https://arxiv.org/abs/2002.05709

    Args:
        first: Projections of the first views, (B, P). Any length, normalised here.
        second: Projections of the second views, (B, P), row i from the same image.
        temperature: Divisor of the cosine similarities, > 0.

    Returns:
        Scalar in nats, at least float32; log(2BW - 1) when all projections are equal.
    """
    return F.cross_entropy(*contrast_views(first, second, temperature))
