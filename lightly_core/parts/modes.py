"""Training and evaluation modes, part by part: what somebody has frozen stays frozen."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from torch import nn


def modes_of(module: nn.Module) -> dict[str, bool]:
    """Return which parts are in training mode, by path; the module itself has the path ""."""
    return {path: part.training for path, part in module.named_modules()}


def set_modes(module: nn.Module, modes: Mapping[str, bool]) -> None:
    """Put every part in its own mode.

    Parts with a method ``train(mode)`` of their own, which may hold more than the flag, are asked
    by it first.

    Args:
        module: Its parts.
        modes: What `modes_of` or `training_modes` returned; paths that are not there any more are
            passed over, and parts without an entry are left as they are.
    """
    parts = [(part, modes[path]) for path, part in module.named_modules() if path in modes]
    for part, mode in parts:  # a part comes before those inside of it
        own = type(part).train
        if own is not nn.Module.train and "mode" in inspect.signature(own).parameters:
            part.train(mode)
    for part, mode in reversed(parts):
        if part.training != mode:  # some only show the mode of what is inside of them
            part.training = mode


def in_evaluation(module: nn.Module) -> bool:
    """Tell whether a module is in evaluation mode as a whole: all parts without parts of their own.

    What only holds others together may have been made after they were put in their mode.
    """
    innermost = (part for part in module.modules() if next(part.children(), None) is None)
    return not any(part.training for part in innermost)


def training_modes(module: nn.Module) -> dict[str, bool]:
    """Return in which mode each part of a module is to be trained, by path.

    A module that is in evaluation mode as a whole (`in_evaluation`), as libraries hand out trained
    ones, is trained in training mode, but for parts that have parameters and none that can be
    trained. In any other module every part keeps its mode: a batch norm in evaluation mode between
    parts in training mode was put so on purpose.
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
    """Tell whether a path is one of `parents`, or lies inside of one."""
    steps = path.split(".") if path else []
    return any(".".join(steps[:end]) in parents for end in range(len(steps) + 1))
