"""Heads with prototypes."""

from __future__ import annotations

from torch import Tensor, nn

from lightly_core.parts.prototypes import DinoHead
from lightly_dino.base_config import PrototypeConfig


def dino_head(config: PrototypeConfig, dim: int, bottleneck_dim: int | None = None) -> DinoHead:
    """Create a head.

    Args:
        config: Its dimensions and depth; without "auto".
        dim: Dimension of the features.
        bottleneck_dim: In place of the config's.
    """
    return DinoHead(
        dim,
        int(config.output_dim),
        hidden_dim=config.hidden_dim,
        bottleneck_dim=bottleneck_dim or config.bottleneck_dim,
        num_layers=config.num_layers,
        batch_norm=config.batch_norm,
    )


def apply_head(head: nn.Module, x: Tensor) -> Tensor:
    """Apply a head to the last dimension, all rows as one batch: (..., D) to (..., K)."""
    rows: Tensor = head(x.flatten(0, -2))
    return rows.reshape(*x.shape[:-1], -1)
