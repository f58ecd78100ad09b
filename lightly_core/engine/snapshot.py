"""Copies the state of a run to main memory, so that it can be written while training goes on."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

Content = TypeVar("Content")


def snapshot(content: Content) -> Content:
    """Return a deep copy whose tensors are in main memory.

    Tensors that share memory share it in the copy too, so `torch.save` writes the same file for
    content that was in main memory.

    Args:
        content: Tensors of any shape, and plain data, in dictionaries, lists and tuples.
    """
    memo: dict[int, Any] = {}
    storages: dict[int, torch.UntypedStorage] = {}
    for tensor in _tensors(content):
        if tensor.device.type != "cpu" and type(tensor) is Tensor:
            memo[id(tensor)] = _on_cpu(tensor, storages)
    return copy.deepcopy(content, memo)


def _tensors(content: object) -> Iterator[Tensor]:
    if isinstance(content, Tensor):
        yield content
    elif isinstance(content, Mapping):
        for value in content.values():
            yield from _tensors(value)
    elif isinstance(content, (list, tuple)):
        for value in content:
            yield from _tensors(value)


def _on_cpu(tensor: Tensor, storages: dict[int, torch.UntypedStorage]) -> Tensor:
    """Copy a tensor of another device, and its memory unless another tensor's copy has it."""
    if tensor.layout != torch.strided:
        return tensor.detach().cpu()
    storage = tensor.untyped_storage()
    copied = storages.get(storage._cdata)
    if copied is None:
        copied = storages[storage._cdata] = storage.cpu()  # type: ignore[no-untyped-call]
    empty = torch.empty(0, dtype=tensor.dtype)
    return empty.set_(copied, tensor.storage_offset(), tensor.size(), tensor.stride())
