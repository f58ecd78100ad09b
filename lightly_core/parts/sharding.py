"""Tensors that `torch.distributed.fsdp.fully_shard` has sharded: each process holds some rows.

They are of the class DTensor. With other tensors every function returns its argument, or what it
computes from that alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor


def is_sharded(tensor: object) -> bool:
    """Return whether a tensor is sharded among processes."""
    return hasattr(tensor, "to_local")


def local(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Return the rows of tensors that this process holds. They share memory with the tensors.

    Use it for operations on single numbers, such as those of optimizers and averages.
    """
    return [cast(Any, one).to_local() if is_sharded(one) else one for one in tensors]


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor with the rows of all processes. Every process must call it."""
    gathered: Tensor = cast(Any, tensor).full_tensor() if is_sharded(tensor) else tensor
    return gathered


def sharded_like(value: Tensor, tensor: Tensor) -> Tensor:
    """Return a tensor that is sharded as another one. Every process must pass the same values.

    Args:
        value: All rows, of the shape of `tensor`.
        tensor: The tensor that decides which rows this process keeps.
    """
    if not is_sharded(tensor):
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(tensor, DTensor)
    placed = value.to(tensor.device).contiguous()
    return distribute_tensor(placed, tensor.device_mesh, tensor.placements, src_data_rank=None)


def sum_over_shards(value: Tensor, tensors: Sequence[Tensor]) -> Tensor:
    """Sum a value over all processes if it was computed from shards.

    Args:
        value: Computed from the local rows of `tensors`; any shape. It is changed in place.
        tensors: The tensors. Either all or none are sharded.
    """
    if tensors and is_sharded(tensors[0]):
        dist.all_reduce(value)
    return value


def norms(tensors: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Return the Euclidean norm of each tensor, (N,), of all rows.

    Args:
        tensors: N tensors, N >= 1, on one device. Either all or none are sharded.
        dtype: Type in which norms are computed.
    """
    found = torch.stack(torch._foreach_norm(local(tensors), 2, dtype=dtype))  # (N,)
    if not is_sharded(tensors[0]):
        return found
    # In float64, as the squares of norms below 1e-19 lose digits in float32.
    return sum_over_shards(found.double().square(), tensors).sqrt().to(dtype)
