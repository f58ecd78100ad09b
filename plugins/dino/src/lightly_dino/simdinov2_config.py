"""Options of SimDINOv2 (Wu et al. 2025, https://arxiv.org/abs/2502.10385)."""

from __future__ import annotations

from typing import Literal

from attrs import define, evolve, field

from lightly_core.config.method import MethodCard, loss_weight
from lightly_dino.base_config import MaskArgs, layer_decay, momentum_start, patch_embed_lr_factor
from lightly_dino.dinov2_config import DINOv2Config
from lightly_dino.simdino_config import SimDINOConfig


@define(frozen=True, kw_only=True)
class SimDINOv2Config(SimDINOConfig):
    """Options of SimDINOv2: those of SimDINO, and the masks."""

    shardable = True

    card = MethodCard(
        paper="Wu et al. 2025",
        arxiv="2502.10385",
        teacher="average",
        use="as DINOv2, with little to set",
    )
    requires = evolve(SimDINOConfig.requires, whole_patches=True)
    metrics = (*SimDINOConfig.metrics, "train_loss/patch_distance")
    optimizers = DINOv2Config.optimizers

    patch_loss_weight: float = loss_weight(1.0, "the masked patches' distance")
    mask: MaskArgs = field(default=MaskArgs(), metadata={"help": "which patches are masked"})
    momentum_start: float | Literal["auto"] = momentum_start(0.9)
    layer_decay: float = layer_decay(0.9)
    patch_embed_lr_factor: float = patch_embed_lr_factor(0.2)
