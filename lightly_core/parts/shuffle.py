"""Shuffled batch norm: the forward pass of a batch in random groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast, overload

import torch
from torch import Tensor


@overload
def forward_in_groups(
    function: Callable[[Tensor], Tensor], images: Tensor, num_groups: int
) -> Tensor: ...
@overload
def forward_in_groups(
    function: Callable[[Tensor], Mapping[str, Tensor]], images: Tensor, num_groups: int
) -> dict[str, Tensor]: ...
def forward_in_groups(
    function: Callable[[Tensor], Tensor] | Callable[[Tensor], Mapping[str, Tensor]],
    images: Tensor,
    num_groups: int,
) -> Tensor | dict[str, Tensor]:
    """Run images through a network in random groups of about equal size, one after the other.

    If a query and its key are normalised with the statistics of the same set of images, a network
    can identify the key by these statistics. MoCo (https://arxiv.org/abs/1911.05722, section 3.3)
    therefore shuffles the keys among devices. Groups have the same effect on one device.

    Args:
        function: Maps images (G, C, H, W) to one tensor (G, ...), or to several by name.
        images: (B, C, H, W).
        num_groups: In [1, B]. With 1 there is a single forward pass. The groups are sampled from
            torch's global generator.

    Returns:
        The results, (B, ...), in the order of `images`.

    Raises:
        ValueError: `num_groups` is out of range.
    """
    if not 1 <= num_groups <= len(images):
        raise ValueError(f"expected 1 to {len(images)} groups of images, got {num_groups}")
    if num_groups == 1:
        output = function(images)
        return output if isinstance(output, Tensor) else dict(output)
    order = torch.randperm(len(images), device=images.device)  # (B,)
    outputs = [function(group) for group in images[order].tensor_split(num_groups)]
    inverse = order.argsort()
    if isinstance(outputs[0], Tensor):
        return torch.cat(cast("list[Tensor]", outputs))[inverse]
    named = cast("list[Mapping[str, Tensor]]", outputs)
    return {name: torch.cat([output[name] for output in named])[inverse] for name in named[0]}
