"""The loss of INTL.

V views, B images on this process, N on all processes, P channels.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.covariance import num_rows
from lightly_core.parts.distributed import reduce_sum_with_gradient
from lightly_core.parts.precision import no_autocast
from lightly_core.parts.whitening import whitened_columns, whitened_rows

Whitening = Literal["images", "channels"]


def intl_terms(
    projections: Tensor, whitening: Whitening, *, num_iterations: int
) -> tuple[Tensor, Tensor]:
    """Compare the first view with each other one, after an incomplete whitening of both.

    Few iterations whiten directions with much variance and leave those with little behind. With
    W[v] the whitened view and S[v] the variances that it has, one for each image (or channel)::

        distance = mean over v > 0 and images i of |n(W[0, i]) - n(W[v, i])| ** 2
        trace    = t(0) + mean over v > 0 of t(v),  t(v) = sum over j of (1 - S[v, j]) ** 2

    The second makes all directions large enough. https://arxiv.org/abs/2305.16789

    Args:
        projections: (V, B, P).
        whitening: ``images``: P channels are samples of N images; ``channels``: the other way
            around.
        num_iterations: See `lightly_core.parts.whitening.inverse_root`.

    Returns:
        Both terms, at least float32; averaged over processes they are those of all images.
    """
    function = whitened_rows if whitening == "images" else whitened_columns
    white = torch.stack([function(view, num_iterations=num_iterations) for view in projections])
    with no_autocast(projections.device):
        directions = F.normalize(white, dim=2)  # (V, B, P)
        cosines = (directions[0] * directions[1:]).sum(dim=2).mean()
        traces = torch.stack([_trace_term(view, whitening) for view in white])  # (V,)
    return 2 - 2 * cosines, traces[0] + traces[1:].mean()


def _trace_term(white: Tensor, whitening: Whitening) -> Tensor:
    """Return t(v) of a whitened view (B, P), whose rows, or columns, have mean 0."""
    squares, total = white.square(), num_rows(white)
    if whitening == "images":
        variances = squares.sum(dim=1) / (white.shape[1] - 1)  # (B,), of this process's images
        return total * (1 - variances).square().mean()
    variances = reduce_sum_with_gradient(squares.sum(dim=0)) / (total - 1)  # (P,)
    return (1 - variances).square().sum()
