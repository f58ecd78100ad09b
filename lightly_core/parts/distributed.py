"""Gather and reduce tensors over all processes, with the right gradient.

With a single process, every function returns its argument. The gradients fit
DistributedDataParallel, which averages them. If the loss depends on the images of all processes and
each process takes the mean over its own, the averaged gradient equals that of one process with all
images. All processes must pass tensors of the same shape. For this reason the training loader drops
the last, incomplete batch.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import FunctionCtx


def world_size() -> int:
    """Return the number of processes, 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the rank of this process, 0 without a process group."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def gather(x: Tensor) -> Tensor:
    """Concatenate a tensor of all processes, in the order of their ranks, without gradient.

    Use it for keys, queues, targets and labels.

    Args:
        x: (B, ...), B the same on all processes.

    Returns:
        (world_size * B, ...), detached. Rank r's row i is row ``r * B + i``.
    """
    x = x.detach()
    return _all_gather(x) if world_size() > 1 else x


def gather_with_gradient(x: Tensor) -> Tensor:
    """Concatenate a tensor of all processes, with gradient.

    Use it for negatives. The gradient of a row is the sum over the losses of all processes, not
    only of the process that computed the row.

    Args:
        x: (B, ...), B the same on all processes.

    Returns:
        (world_size * B, ...). Rank r's row i is row ``r * B + i``.
    """
    if world_size() == 1:
        return x
    gathered: Tensor = _Gather.apply(x)
    return gathered


def reduce_sum_with_gradient(x: Tensor) -> Tensor:
    """Sum a tensor over all processes. Its gradient is summed over them too.

    Use it for statistics of the whole batch in a loss, such as correlations.

    Args:
        x: Any shape, the same on all processes.

    Returns:
        The sum, of the same shape, equal on all processes.
    """
    if world_size() == 1:
        return x
    total: Tensor = _ReduceSum.apply(x)
    return total


def reduce_mean_with_gradient(x: Tensor) -> Tensor:
    """Average a floating-point tensor over all processes, see `reduce_sum_with_gradient`."""
    return reduce_sum_with_gradient(x) / world_size()


class _ReduceSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        return reduce_sum_with_gradient(gradient)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        return _all_gather(x)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        return reduce_sum_with_gradient(gradient).chunk(world_size())[rank()]


def _all_gather(x: Tensor) -> Tensor:
    gathered = x.new_empty((world_size() * len(x), *x.shape[1:]))  # (world_size * B, ...)
    dist.all_gather(list(gathered.chunk(world_size())), x.contiguous())
    return gathered
