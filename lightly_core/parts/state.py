"""State dicts on the CPU, and their digests."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn


def portable_state_dict(module: nn.Module) -> dict[str, Tensor]:
    """Return a state dict whose tensors are on the CPU, contiguous and without shared memory.

    After training, tensors may be on a device that the reader lacks, or in a memory layout that
    was chosen for speed. The ``_metadata`` of the state dict, the versions of the modules, is kept.
    Some modules (MNASNet of torchvision) cannot load a state dict without it.
    """
    state = module.state_dict()
    portable: OrderedDict[str, Tensor] = OrderedDict()
    if (versions := getattr(state, "_metadata", None)) is not None:
        portable._metadata = versions  # type: ignore[attr-defined]
    storages: set[int] = set()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            continue  # extra state of a module, which is not a tensor
        tensor = value.detach().cpu().contiguous()
        storage = tensor.untyped_storage().data_ptr()
        portable[name] = tensor.clone() if storage in storages else tensor
        storages.add(storage)
    return portable


def state_digest(state: Mapping[str, object]) -> str:
    """Return the sha256 of the names, dtypes, shapes and values of a state dict.

    Args:
        state: Tensors and other values. Of other values the ``repr`` is hashed.
    """
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(name.encode())
        if isinstance(value, Tensor):
            values = value.detach().cpu().contiguous().flatten()
            digest.update(f"{value.dtype} {tuple(value.shape)}".encode())
            digest.update(values.view(torch.uint8).numpy().data)
        else:
            digest.update(repr(value).encode())
    return digest.hexdigest()
