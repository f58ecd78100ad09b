"""DCL and DCLW: SimCLR without the positive in the denominator (Yeh et al. 2022, arXiv:2110.06848).

Shapes: B images on this process, W processes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightly_core.parts.distributed import gather, rank, world_size
from lightly_methods.contrastive.dcl_config import DCLWConfig
from lightly_methods.contrastive.simclr import SimCLR


class DCL(SimCLR):
    """SimCLR without the positive in the denominator.

    In NT-Xent a row that has found its other view gets almost no gradient, not even from its
    negatives. Here it does not, so small batches of 64 and more learn well.
    https://arxiv.org/abs/2110.06848
    """

    def loss(self, logits: Tensor, pair: Tensor) -> Tensor:
        """Return `decoupled` of what `contrast_views` returned."""
        return decoupled(logits, pair)


class DCLW(SimCLR):
    """DCL with more weight on pairs of views that look unlike.

    The weights are normalised over the images of all processes. https://arxiv.org/abs/2110.06848
    """

    config: DCLWConfig

    def loss(self, logits: Tensor, pair: Tensor) -> Tensor:
        """Return `decoupled` with `pair_weights`."""
        cosines = positives(logits, pair) * self.config.temperature  # (2B,)
        return decoupled(logits, pair, pair_weights(cosines, self.config.sigma))


def decoupled(logits: Tensor, pair: Tensor, weights: Tensor | None = None) -> Tensor:
    """Contrast as in SimCLR, without the positive in the sum over candidates.

    ::

        loss = mean over i of -weight[i] * s[i, pair(i)]
                              + log(sum over k not in {i, pair(i)} of exp(s[i, k]))

    where s is the cosine similarity divided by the temperature (equations 6 and 7).

    Args:
        logits: s, (2B, 2BW), -inf where a row meets itself.
        pair: For each row the column of its other view, (2B,).
        weights: Weights of the pairs, (2B,), no gradient; None: 1.

    Returns:
        Scalar in nats, of any sign; log(2BW - 2) when all projections are equal.
    """
    right = positives(logits, pair)
    others = logits.scatter(1, pair[:, None], float("-inf")).logsumexp(dim=1)  # (2B,)
    return (others - (right if weights is None else weights * right)).mean()


def pair_weights(cosines: Tensor, sigma: float) -> Tensor:
    """Return weights of pairs of views, larger for views that look unlike (equation 8).

    For N pairs over all processes::

        weight[i] = 2 - N * softmax over all pairs of (cosine / sigma)[i]

    The mean over all pairs is 1. A pair that is much closer than the others has a negative weight.

    Args:
        cosines: Cosine of each row and its other view, (2B,); no gradient flows into them.
        sigma: Temperature of the softmax, > 0.

    Returns:
        (2B,).
    """
    everyone = gather(cosines)  # (2BW,)
    fractions = torch.softmax(everyone / sigma, dim=0)
    own = fractions.chunk(world_size())[rank()]  # (2B,)
    return 2 - len(everyone) * own


def positives(logits: Tensor, pair: Tensor) -> Tensor:
    """Return the logit of each row's other view, (2B,). Arguments as in `decoupled`."""
    return logits.gather(1, pair[:, None])[:, 0]
