"""The loss of W-MSE.

V views, B images on this process, N on all processes, P channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.distributed import gather_with_gradient
from lightly_core.parts.precision import no_autocast, single
from lightly_core.parts.whitening import cholesky_whitened


def whitened_distance(projections: Tensor, step: int, *, size: int, eps: float) -> Tensor:
    """Return the mean squared distance of whitened views at length 1.

    The images of all processes are shuffled and cut into sub-batches; in each, every view is
    whitened on its own. The plain form::

        for group in shuffled(range(N)), cut into pieces of size:
            for v in range(V):
                w[v, group] = normalize(whitened(projections[v, group]))
        loss = mean over i and pairs u < v of |w[u, i] - w[v, i]| ** 2

    The order follows from the step alone, so it is the same for all views and on all processes.
    https://arxiv.org/abs/2007.06346

    Args:
        projections: (V, B, P).
        step: Optimizer steps taken so far.
        size: Images in a sub-batch, > P unless `eps` > 0; a divisor of N.
        eps: See `cholesky_whitened`.

    Returns:
        Scalar in [0, 4], at least float32, equal on all processes.
    """
    num_views, _, dim = projections.shape
    with no_autocast(projections.device):
        rows = gather_with_gradient(single(projections).transpose(0, 1))  # (N, V, P)
        generator = torch.Generator().manual_seed(step)
        order = torch.randperm(len(rows), generator=generator)
        order = order.to(rows.device, non_blocking=True)
        # Sub-batches whose views lie one behind the other, (N / size, V, size, P).
        groups = rows[order].view(-1, size, num_views, dim).transpose(1, 2)
        white = F.normalize(cholesky_whitened(groups, eps=eps), dim=-1)
        # The squared length of the sum holds all cosines, that of each view with itself included.
        cosines = white.sum(dim=1).square().sum(dim=-1) - num_views  # (N / size, size)
        return 2 - 2 * cosines.mean() / (num_views * (num_views - 1))
