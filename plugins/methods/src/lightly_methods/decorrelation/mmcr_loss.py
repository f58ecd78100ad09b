"""The loss of MMCR.

V views, B images on this process, N on all processes, P channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.distributed import gather_with_gradient
from lightly_core.parts.precision import no_autocast, single


def mmcr_terms(projections: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the extent of the images' means, and that of the views of one image.

    With z of length 1, z' the teacher's, and the nuclear norm, the sum of singular values::

        mean[i]  = (mean over v of z[v, i] + mean over v of z'[v, i]) / 2
        extent   = nuclear norm of the matrix of all N rows mean[i]
        manifold = mean over i of the nuclear norm of the matrix of rows z[v, i]

    Means are long where the views of an image agree, and their matrix has a large nuclear norm
    where they are long and point everywhere. The loss is ``weight * manifold - extent``.
    https://arxiv.org/abs/2303.03307

    On GPUs torch waits for the device in each decomposition.

    Args:
        projections: (V, B, P).
        targets: Those of the teacher, (V, B, P); no gradient flows into them.

    Returns:
        Both, at least float32. `extent` is equal on all processes, in
        ``[0, N * min(1, sqrt(P / N))]``; `manifold` is that of this process's images, in
        ``[sqrt(V), V]``.
    """
    with no_autocast(projections.device):
        z = F.normalize(single(projections), dim=2)
        fixed = F.normalize(single(targets.detach()), dim=2)
        means = gather_with_gradient((z.mean(dim=0) + fixed.mean(dim=0)) / 2)  # (N, P)
        extent = torch.linalg.svdvals(means).sum()
        manifold = torch.linalg.svdvals(z.transpose(0, 1)).sum(dim=1).mean()
    return extent, manifold
