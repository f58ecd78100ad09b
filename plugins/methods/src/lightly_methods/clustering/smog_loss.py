"""The groups of SMoG.

R vectors of this process, K groups, D their width; all have length 1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.distributed import reduce_sum_with_gradient
from lightly_core.parts.kmeans import nearest_centroids
from lightly_core.parts.precision import no_autocast, single


def updated_groups(groups: Tensor, vectors: Tensor, momentum: float) -> Tensor:
    """Let each group follow the mean of the vectors that are nearest to it.

    The plain form::

        for k in range(K):
            own = [v for v in vectors of all processes if argmax(groups @ v) == k]
            if own:
                groups[k] = normalize(momentum * groups[k] + (1 - momentum) * mean(own))

    A gradient flows into the vectors of this step, through the new part, and not into those of
    earlier steps. This is what makes the grouping synchronous, https://arxiv.org/abs/2207.06167.

    Args:
        groups: (K, D), no gradient; not changed.
        vectors: (R, D).
        momentum: In [0, 1]; 1 changes nothing.

    Returns:
        (K, D), at least float32, equal on all processes.
    """
    groups = groups.detach()
    with no_autocast(vectors.device):
        vectors = single(vectors)
        nearest = nearest_centroids(vectors, groups)  # (R,)
        members = F.one_hot(nearest, len(groups)).to(vectors.dtype)  # (R, K)
        counts = reduce_sum_with_gradient(members.sum(dim=0))[:, None]  # (K, 1)
        means = reduce_sum_with_gradient(members.T @ vectors) / counts.clamp(min=1)  # (K, D)
        moved = F.normalize(momentum * groups + (1 - momentum) * means, dim=1)
        return torch.where(counts > 0, moved, groups.to(moved.dtype))
