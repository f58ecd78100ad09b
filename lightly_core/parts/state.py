"""State dicts that load anywhere."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn


def portable_state_dict(module: nn.Module) -> dict[str, Tensor]:
    """Return a module's tensors on the CPU, contiguous, none sharing memory with another.

    A state dict as training leaves it may lie on a device that the reader lacks, or in the
    memory layout that was fast for training. Its ``_metadata``, the versions of the modules, is
    kept: some (MNASNet of torchvision) load nothing without it.
    """
    state = module.state_dict()
    portable: OrderedDict[str, Tensor] = OrderedDict()
    if (versions := getattr(state, "_metadata", None)) is not None:
        portable._metadata = versions  # type: ignore[attr-defined]
    storages: set[int] = set()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            continue  # what a module keeps as extra state is no tensor
        tensor = value.detach().cpu().contiguous()
        storage = tensor.untyped_storage().data_ptr()
        portable[name] = tensor.clone() if storage in storages else tensor
        storages.add(storage)
    return portable


def state_digest(state: Mapping[str, object]) -> str:
    """Return the sha256 of a state dict: of its names, types and values.

    Args:
        state: Tensors, and other values by their text.
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
