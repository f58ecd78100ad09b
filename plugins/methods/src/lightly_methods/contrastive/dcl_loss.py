"""The losses of DCL and DCLW, from the logits of `lightly_core.parts.contrast.contrast_views`.

B images on this process, W processes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightly_core.parts.distributed import gather, rank, world_size


def decoupled(logits: Tensor, pair: Tensor, weights: Tensor | None = None) -> Tensor:
    """Contrast as in SimCLR, without the right candidate in the sum.

    In NT-Xent a row that has found its pair gets next to no gradient, from its negatives neither.
    Without the pair in the sum negatives count all the same::

        loss = mean over i of -weight[i] * s[i, pair(i)]
                              + log(sum over k not in {i, pair(i)} of exp(s[i, k]))

    DCL, https://arxiv.org/abs/2110.06848, equations 6 and 7.

    Args:
        logits: s, (2B, 2BW), -inf where a row meets itself.
        pair: For each row the column of its other view, (2B,).
        weights: Of the pairs, (2B,), no gradient; None: 1.

    Returns:
        Scalar in nats, of any sign; log(2BW - 2) when all projections are equal.
    """
    right = positives(logits, pair)
    others = logits.scatter(1, pair[:, None], float("-inf")).logsumexp(dim=1)  # (2B,)
    return (others - (right if weights is None else weights * right)).mean()


def pair_weights(cosines: Tensor, sigma: float) -> Tensor:
    """Return more weight for pairs of views that look unlike, 1 in the mean over all processes.

    ``weight[i] = 2 - N * softmax over all N pairs of (cosine / sigma)[i]``. It is negative for a
    pair that is much closer than the others. DCLW, equation 8.

    Args:
        cosines: Of each row with its other view, (2B,); no gradient flows into them.
        sigma: Temperature of the softmax, > 0.

    Returns:
        (2B,).
    """
    everyone = gather(cosines)  # (2BW,)
    shares = torch.softmax(everyone / sigma, dim=0)
    own = shares.chunk(world_size())[rank()]  # (2B,)
    return 2 - len(everyone) * own


def positives(logits: Tensor, pair: Tensor) -> Tensor:
    """Return the logit of each row's other view, (2B,); arguments as in `decoupled`."""
    return logits.gather(1, pair[:, None])[:, 0]
