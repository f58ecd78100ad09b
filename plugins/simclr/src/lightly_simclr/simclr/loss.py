"""NT-Xent, the normalised and temperature-scaled cross-entropy of SimCLR.

B images on this process, W processes.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def nt_xent(logits: Tensor, pair: Tensor) -> Tensor:
    """Cross-entropy of finding an image's other view among all views in the batch.

    For each of the 2B rows of this process, the 2BW - 1 other rows of all processes are candidates
    and one of them is right::

        loss = mean over i of -log(exp(s[i, pair(i)]) / sum over k != i of exp(s[i, k]))

    where s is the cosine similarity divided by the temperature, which
    `lightly_core.parts.contrast.contrast_views` computes from the projections. Averaging the
    gradients over processes gives the gradient of one large batch.
    https://arxiv.org/abs/2002.05709, equation 1.

    Args:
        logits: s, (2B, 2BW), -inf where a row meets itself.
        pair: For each row the column of its other view, (2B,).

    Returns:
        Scalar in nats; log(2BW - 1) when all projections are equal.
    """
    return F.cross_entropy(logits, pair)
