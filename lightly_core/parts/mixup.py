"""Mixup: every image becomes a blend of two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Mixed(NamedTuple):
    """What `mixup` returns.

    Attributes:
        views: The blended images, one tensor (B, C, H, W) a view.
        weight: Share of the image itself in each blend, in [0, 1); the rest is its partner.
        partners: Index of the partner of each image, (B,) int64 on the CPU.
    """

    views: tuple[Tensor, ...]
    weight: float
    partners: Tensor


def mixup(views: Sequence[Tensor]) -> Mixed:
    """Blend each image of a batch with another one of it.

    One weight, uniform in [0, 1), and one permutation are drawn for the whole batch, and used for
    all views (Zhang et al. 2018, https://arxiv.org/abs/1710.09412; with this weight for
    distillation: Beyer et al. 2022, https://arxiv.org/abs/2106.05237). They come from torch's
    generator on the CPU, so that the device need not be waited for.

    Args:
        views: One tensor (B, C, H, W) a view, B >= 1, row i of each from image i.
    """
    weight = float(torch.rand(()))
    partners = torch.randperm(len(views[0]))
    rows = partners.to(views[0].device, non_blocking=True)
    blended = tuple(torch.lerp(view, view[rows], 1 - weight) for view in views)  # (B, C, H, W) each
    return Mixed(blended, weight, partners)
