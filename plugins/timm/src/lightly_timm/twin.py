"""Copies of a model, to run without any effect on the model."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import torch
from torch import nn


def twin_of(model: nn.Module, *, on_meta: bool) -> nn.Module:
    """Copy a model, in evaluation mode and without the hooks of its user.

    Args:
        model: It is not changed.
        on_meta: Put parameters and buffers of the copy on the meta device, where they take no
            memory.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            memo[id(hooks)] = OrderedDict()
    if on_meta:
        for tensor in (*model.parameters(), *model.buffers()):
            empty = torch.empty_like(tensor, device="meta", requires_grad=False)
            if isinstance(tensor, nn.Parameter):
                empty = nn.Parameter(empty, requires_grad=tensor.requires_grad)
            memo[id(tensor)] = empty
    twin = copy.deepcopy(model, memo)
    return twin.eval()
