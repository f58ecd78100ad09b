"""Parameter groups for methods that need other ones than the default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from lightly_core.optim.groups import ParameterGroup


def separate_group(
    groups: Sequence[ParameterGroup],
    name: str,
    module: nn.Module,
    *,
    weight_decay: bool | float = True,
    constant_lr: bool = False,
) -> list[ParameterGroup]:
    """Move the trainable parameters of a module into a group of their own.

    Args:
        groups: All groups of a method. They are not changed.
        name: Name of the new group.
        module: Part of the method whose parameters are moved.
        weight_decay: See `ParameterGroup`.
        constant_lr: See `ParameterGroup`.
    """
    moved = {id(p): p for p in module.parameters() if p.requires_grad}
    rest = [
        replace(group, parameters=[p for p in group.parameters if id(p) not in moved])
        for group in groups
    ]
    own = ParameterGroup(
        name, list(moved.values()), weight_decay=weight_decay, constant_lr=constant_lr
    )
    return [group for group in [*rest, own] if group.parameters]


def all_decayed(method: nn.Module) -> list[ParameterGroup]:
    """Return one group of all trainable parameters, with weight decay on biases and norms too.

    Some papers do this, such as SimSiam (https://arxiv.org/abs/2011.10566).
    """
    return [ParameterGroup("decayed", [p for p in method.parameters() if p.requires_grad])]
