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
    """Assign rows to classes, so that each class gets an equal share of all rows.

    Start from ``exp(logits / temperature)``; divide each column by its sum over all rows of all
    processes, then each row by its sum; repeat. With many iterations the columns' sums go to
    ``B / K``, B counting the rows of all processes. Used by SwAV (https://arxiv.org/abs/2006.09882),
    MSN (https://arxiv.org/abs/2204.07141), DINOv2 (https://arxiv.org/abs/2304.07193); the
    algorithm: Cuturi 2013 (https://arxiv.org/abs/1306.0895).

    Everything is kept as logarithms: no row and no class is lost to underflow, however sharp.

    Args:
        logits: (..., B, K). Leading dimensions are assigned one by one and must be the same on all
            processes (CAPI's assignment by position, https://arxiv.org/abs/2502.08769, wants
            (N, B, K)). B may differ among processes, and be 0.
        temperature: Divisor of the logits, > 0.
        num_iterations: How often columns and rows are divided, >= 1.
        rows: Which rows take part, (..., B) bool; None: all. It lets the number of rows follow the
            data while shapes stay, so that the device is not waited for.

    Returns:
        Probabilities of the same shape, at least float32: rows sum to 1, those that take no part
        are 0. No gradient.

    Raises:
        ValueError: `num_iterations` is below 1.
    """
    if num_iterations < 1:
        raise ValueError(f"expected num_iterations >= 1, got {num_iterations}")
    with no_autocast(logits.device):
        scores = single(logits) / temperature  # (..., B, K)
        # (..., B, 1), logarithms of factors: of rows that take no part, of nothing.
        absent = torch.zeros_like(scores[..., :1])
        if rows is not None:
            absent = absent.masked_fill(~rows[..., None], float("-inf"))
        column = -_logsumexp_of_rows(scores + absent)  # (..., 1, K), logarithms of factors
        for _ in range(num_iterations - 1):
            row = absent - torch.logsumexp(scores + column, dim=-1, keepdim=True)  # (..., B, 1)
            column = -_logsumexp_of_rows(scores + row)
        probabilities = F.softmax(scores + column, dim=-1)
        return probabilities if rows is None else probabilities.where(rows[..., None], 0.0)


def _logsumexp_of_rows(x: Tensor) -> Tensor:
    """Return ``log(sum(exp(x)))`` over dimension -2 of all processes, kept as (..., 1, K)."""
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
