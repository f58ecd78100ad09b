"""Mixup: blend each image with another one of the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Mixed(NamedTuple):
    """Result of `mixup`.

    Attributes:
        views: The blended images, one tensor (B, C, H, W) for each view.
        weight: Weight of the image itself in each blend, in [0, 1). Its partner has the rest.
        partners: Index of the partner of each image, (B,) int64 on the CPU.
    """

    views: tuple[Tensor, ...]
    weight: float
    partners: Tensor


def mixup(views: Sequence[Tensor]) -> Mixed:
    """Blend each image of a batch with another one of it.

    One weight, uniform in [0, 1), and one permutation are sampled for the whole batch and used for
    all views (Zhang et al. 2018, https://arxiv.org/abs/1710.09412). Beyer et al. 2022
    (https://arxiv.org/abs/2106.05237) use this weight for distillation. Both come from torch's
    generator on the CPU, so there is no wait for the device.

    Args:
        views: One tensor (B, C, H, W) for each view, B >= 1, row i of each from image i.
    """
    weight = float(torch.rand(()))
    partners = torch.randperm(len(views[0]))
    rows = partners.to(views[0].device, non_blocking=True)
    blended = tuple(torch.lerp(view, view[rows], 1 - weight) for view in views)  # (B, C, H, W) each
    return Mixed(blended, weight, partners)
