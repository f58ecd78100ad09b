"""Sinkhorn-Knopp: soft assignments that use all classes equally."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.distributed import world_size
from lightly_core.parts.precision import no_autocast, single


@torch.no_grad()
def sinkhorn(
    logits: Tensor, temperature: float, *, num_iterations: int = 3, rows: Tensor | None = None
) -> Tensor:
    """Assign rows to classes so that every class gets the same number of rows.

    Start from ``exp(logits / temperature)``. Divide each column by its sum over all rows of all
    processes, then each row by its sum, and repeat. With many iterations the sums of the columns
    approach ``B / K``, where B counts the rows of all processes. Used by SwAV
    (https://arxiv.org/abs/2006.09882), MSN (https://arxiv.org/abs/2204.07141) and DINOv2
    (https://arxiv.org/abs/2304.07193). The algorithm is from Cuturi 2013
    (https://arxiv.org/abs/1306.0895).

    All values are logarithms, so that no row or class underflows, even at low temperatures.

    Args:
        logits: (..., B, K). Each index of the leading dimensions is assigned separately, and these
            dimensions must be the same on all processes. For CAPI's assignment by position
            (https://arxiv.org/abs/2502.08769) pass (N, B, K). B may differ among processes, and
            may be 0.
        temperature: Divisor of the logits, > 0.
        num_iterations: Number of iterations, >= 1.
        rows: Rows to include, (..., B) bool. None includes all. Use it if the number of rows
            depends on data on the device: shapes stay fixed and there is no wait for the device.

    Returns:
        Probabilities of the same shape, at least float32. Included rows sum to 1, others are 0. No
        gradient.

    Raises:
        ValueError: `num_iterations` is below 1.
    """
    if num_iterations < 1:
        raise ValueError(f"expected num_iterations >= 1, got {num_iterations}")
    with no_autocast(logits.device):
        scores = single(logits) / temperature  # (..., B, K)
        # (..., B, 1), logarithm of a factor on each row: 1 if it is included, else 0.
        included = torch.zeros_like(scores[..., :1])
        if rows is not None:
            included = included.masked_fill(~rows[..., None], float("-inf"))
        column = -_logsumexp_of_rows(scores + included)  # (..., 1, K), logarithms of factors
        for _ in range(num_iterations - 1):
            row = included - torch.logsumexp(scores + column, dim=-1, keepdim=True)  # (..., B, 1)
            column = -_logsumexp_of_rows(scores + row)
        probabilities = F.softmax(scores + column, dim=-1)
        return probabilities if rows is None else probabilities.where(rows[..., None], 0.0)


def _logsumexp_of_rows(x: Tensor) -> Tensor:
    """Return ``log(sum(exp(x)))`` over dimension -2 and all processes, (..., 1, K)."""
    if x.shape[-2] > 0:
        largest = x.amax(dim=-2, keepdim=True)
    else:
        largest = x.new_full((*x.shape[:-2], 1, x.shape[-1]), float("-inf"))
    if world_size() > 1:
        dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    total = (x - largest).exp().sum(dim=-2, keepdim=True)
    if world_size() > 1:
        dist.all_reduce(total)
    return total.log() + largest
