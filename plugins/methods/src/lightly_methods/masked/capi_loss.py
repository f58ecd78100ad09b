"""The losses of CAPI.

B images, N patches of each, K clusters.
"""

from __future__ import annotations

from torch import Tensor

from lightly_core.parts.cross_entropy import soft_cross_entropy
from lightly_core.parts.sinkhorn import sinkhorn


def assign(logits: Tensor, temperature: float, num_iterations: int) -> Tensor:
    """Assign patches to clusters, so that at each position each cluster gets an equal share.

    Positions are assigned one by one, over the images of all processes. Else clusters would come
    to stand for places in the image: the position-wise Sinkhorn of CAPI
    (https://arxiv.org/abs/2502.08769).

    Args:
        logits: (B, N, K).
        temperature: > 0; smaller is sharper.
        num_iterations: Of Sinkhorn, >= 1.

    Returns:
        Probabilities (B, N, K), at least float32, no gradient.
    """
    by_position = logits.detach().transpose(0, 1)  # (N, B, K)
    return sinkhorn(by_position, temperature, num_iterations=num_iterations).transpose(0, 1)


def cluster_loss(assignments: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """Return the mean cross-entropy of logits with assignments, both (B, M, K); in nats."""
    return soft_cross_entropy(assignments, logits, temperature).mean()
