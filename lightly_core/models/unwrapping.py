"""Unwrap compiled and parallel modules, and reject scripted, exported and sharded ones."""

from __future__ import annotations

import sys

import torch
from torch import nn

from lightly_core.errors import ConfigError


def unwrapped(module: nn.Module, asked_by: str = "model") -> nn.Module:
    """Return the module inside a compiled or parallel one. Any other module is returned itself.

    `torch.compile`, `DataParallel` and `DistributedDataParallel` wrap the user's module and change
    the names of its weights. The run sets up several devices itself.

    Args:
        module: Any module.
        asked_by: First word of error messages.

    Raises:
        ConfigError: The module is scripted, traced or exported, or its weights are sharded (FSDP).
    """
    while (inner := _inner(module)) is not None:
        module = inner
    for path, part in module.named_modules():
        _refuse(module, path, part, asked_by)
    return module


def unwrapped_path(module: nn.Module, path: str) -> str:
    """Return the path of a part without the names of compiled or parallel modules.

    Args:
        module: Module that the path starts from.
        path: Dotted path, such as ``_orig_mod.layer4``.
    """
    kept = []
    part: object = module
    for name in path.split(".") if path else []:
        inner = _inner(part) if isinstance(part, nn.Module) else None
        part = getattr(part, name, None)
        if inner is None or part is not inner:
            kept.append(name)
    return ".".join(kept)


def unwrap_parts(module: nn.Module) -> None:
    """Replace compiled and parallel parts by the modules inside them, see `unwrapped`."""
    for parent in list(module.modules()):
        for name, part in list(parent.named_children()):
            inner = part
            while (next_one := _inner(inner)) is not None:
                inner = next_one
            if inner is not part:
                parent._modules[name] = inner
                unwrap_parts(inner)


def _inner(module: nn.Module) -> nn.Module | None:
    """Return the module inside a compiled or parallel module, None for any other module."""
    found: object = None
    if type(module).__name__ == "OptimizedModule" and _is_of_torch(module):
        found = module._modules.get("_orig_mod")
    elif isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        found = module.module
    return found if isinstance(found, nn.Module) else None


def _is_of_torch(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.")


def _refuse(module: nn.Module, path: str, part: nn.Module, asked_by: str) -> None:
    what = f"the part '{path}' of the {type(module).__name__}" if path else "it"
    if isinstance(part, torch.jit.ScriptModule):
        original = getattr(part, "original_name", "module")
        raise ConfigError(
            f"{asked_by}: {what} is scripted or traced (a {type(part).__name__} of {original}), "
            f"whose parts cannot be reached\n  give the {original} as it was before "
            "torch.jit.script or torch.jit.trace, and convert what the run exports"
        )
    # A module of torch.export can only be called. Its train() raises.
    if isinstance(part, torch.fx.GraphModule) and "train" in vars(part):
        raise ConfigError(
            f"{asked_by}: {what} was created by torch.export, and cannot be trained"
            "\n  give the module as it was before, and convert what the run exports"
        )
    fsdp = sys.modules.get("torch.distributed.fsdp")
    kinds = (getattr(fsdp, name, None) for name in ("FullyShardedDataParallel", "FSDPModule"))
    if any(isinstance(part, kind) for kind in kinds if isinstance(kind, type)):
        raise ConfigError(
            f"{asked_by}: the weights of {what} are in pieces on several devices (FSDP)"
            "\n  give the module as it was before; devices=N strategy=ddp trains it on several"
        )
