"""The loss of DeepCluster-v2."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.distributed import reduce_sum_with_gradient, world_size
from lightly_core.parts.precision import no_autocast, single


def cluster_cross_entropy(cosines: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return the mean cross-entropy of all views with the cluster of their image.

    Images without a cluster are left out, also of the number that the sum is divided by, which
    counts those of all processes.

    Args:
        cosines: Of views and centroids, (H, V, B, K): H clusterings, V views, B images of this
            process, K clusters.
        labels: (H, B) int64; -1: the image has no cluster.
        temperature: Divisor of the cosines, > 0.

    Returns:
        Scalar in nats, at least float32; log(K) for equal cosines, 0 where no image has a cluster.
    """
    num_views = cosines.shape[1]
    with no_autocast(cosines.device):
        logits = (single(cosines) / temperature).flatten(0, 2)  # (H * V * B, K)
        every_label = labels[:, None].expand(-1, num_views, -1).flatten()  # (H * V * B,)
        total = F.cross_entropy(logits, every_label, ignore_index=-1, reduction="sum")
        count = reduce_sum_with_gradient((labels >= 0).sum()) * num_views
        return world_size() * total / count.clamp(min=1)
