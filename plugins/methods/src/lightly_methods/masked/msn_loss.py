"""The losses of MSN and PMSN.

B images on this process, A views of the student (anchors), K prototypes.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.cross_entropy import soft_cross_entropy
from lightly_core.parts.distributed import reduce_mean_with_gradient
from lightly_core.parts.precision import no_autocast, single
from lightly_core.parts.sinkhorn import sinkhorn


def sharp_targets(
    cosines: Tensor, temperature: float, sharpen_temperature: float, num_iterations: int
) -> Tensor:
    """Return what the student is to predict.

    The teacher's probabilities are raised to the power 1 / `sharpen_temperature` and made to sum to
    1 in each row, then Sinkhorn's iterations give each prototype an equal share of all images.

    Args:
        cosines: Of the teacher's view with the prototypes, (B, K).
        temperature: Of the softmax, > 0.
        sharpen_temperature: > 0; 1 leaves the probabilities as they are.
        num_iterations: Of Sinkhorn, >= 0.

    Returns:
        (B, K), at least float32, no gradient; rows sum to 1.
    """
    with torch.no_grad(), no_autocast(cosines.device):
        # The power of a softmax is the softmax of a multiple.
        logs = F.log_softmax(single(cosines) / (temperature * sharpen_temperature), dim=1)
        if num_iterations == 0:
            return logs.exp()
        return sinkhorn(logs, 1.0, num_iterations=num_iterations)


def anchor_cross_entropy(targets: Tensor, cosines: Tensor, temperature: float) -> Tensor:
    """Return the mean cross-entropy of all anchors with the target of their image.

    Args:
        targets: (B, K).
        cosines: Of the anchors with the prototypes, (A, B, K).
        temperature: Of the softmax, > 0.

    Returns:
        Scalar in nats, at least float32; log(K) for equal cosines.
    """
    return soft_cross_entropy(targets, cosines, temperature).mean()


def mean_probabilities(cosines: Tensor, temperature: float) -> Tensor:
    """Return the mean prediction of all anchors on all processes, with gradient.

    Args:
        cosines: (A, B, K).
        temperature: Of the softmax, > 0.

    Returns:
        (K,), at least float32; sums to 1.
    """
    with no_autocast(cosines.device):
        probabilities = F.softmax(single(cosines) / temperature, dim=2)
    return reduce_mean_with_gradient(probabilities.mean(dim=(0, 1)))


def negative_entropy(mean: Tensor) -> Tensor:
    """Return ``log(K) + sum over k of mean[k] * log(mean[k])``, MSN's regulariser.

    Args:
        mean: From `mean_probabilities`, (K,).

    Returns:
        Scalar in nats; 0 where all prototypes are used equally, log(K) where one is.
    """
    return math.log(len(mean)) + torch.xlogy(mean, mean).sum()


def power_law_divergence(mean: Tensor, exponent: float) -> Tensor:
    """Return the divergence of the mean prediction from a power law, PMSN's regulariser.

    ``sum over k of q[k] * (log(q[k]) - log(mean[k]))`` with q[k] in proportion to
    ``(k + 1) ** -exponent``. Nothing is sorted: prototypes grow into their shares.
    https://arxiv.org/abs/2210.07277

    Args:
        mean: From `mean_probabilities`, (K,).
        exponent: >= 0; 0 asks for equal use.

    Returns:
        Scalar in nats, >= 0; 0 where the mean is q.
    """
    ranks = torch.arange(1, len(mean) + 1, device=mean.device, dtype=mean.dtype)
    logs = F.log_softmax(-exponent * ranks.log(), dim=0)  # (K,), log(q)
    return (logs.exp() * (logs - mean.log())).sum()
