"""Training and evaluation modes of each part of a module."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from torch import nn


def modes_of(module: nn.Module) -> dict[str, bool]:
    """Return whether each part is in training mode, by path. The module itself has the path ""."""
    return {path: part.training for path, part in module.named_modules()}


def set_modes(module: nn.Module, modes: Mapping[str, bool]) -> None:
    """Set the mode of every part.

    A part that overrides ``train(mode)`` gets a call of it first, since it may set more than the
    flag.

    Args:
        module: Module whose parts are set.
        modes: Result of `modes_of` or `training_modes`. Unknown paths are skipped, and parts
            without an entry do not change.
    """
    parts = [(part, modes[path]) for path, part in module.named_modules() if path in modes]
    for part, mode in parts:  # parents come before their children
        own = type(part).train
        if own is not nn.Module.train and "mode" in inspect.signature(own).parameters:
            part.train(mode)
    for part, mode in reversed(parts):
        if part.training != mode:  # in some modules the flag is a property without a setter
            part.training = mode


def in_evaluation(module: nn.Module) -> bool:
    """Return whether a module is in evaluation mode as a whole.

    Only parts without children count, since containers may have been created after the modes were
    set.
    """
    innermost = (part for part in module.modules() if next(part.children(), None) is None)
    return not any(part.training for part in innermost)


def training_modes(module: nn.Module) -> dict[str, bool]:
    """Return the mode in which each part of a module is trained, by path.

    A module that is in evaluation mode as a whole (`in_evaluation`), as libraries return pretrained
    ones, is trained in training mode, except for parts whose parameters are all frozen. In any
    other module every part keeps its mode, since a batch norm in evaluation mode between parts in
    training mode was set on purpose.
    """
    if not in_evaluation(module):
        return modes_of(module)
    frozen = {
        path
        for path, part in module.named_modules()
        if (parameters := list(part.parameters())) and not any(p.requires_grad for p in parameters)
    }
    return {path: not _is_below(path, frozen) for path, _ in module.named_modules()}


def _is_below(path: str, parents: set[str]) -> bool:
    """Return whether a path is one of `parents` or inside one of them."""
    steps = path.split(".") if path else []
    return any(".".join(steps[:end]) in parents for end in range(len(steps) + 1))
