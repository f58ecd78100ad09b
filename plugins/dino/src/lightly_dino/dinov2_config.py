"""Options of DINOv2 (Oquab et al. 2023, https://arxiv.org/abs/2304.07193)."""

from __future__ import annotations

from typing import ClassVar, Literal

from attrs import define, evolve, field
from attrs.validators import ge

from lightly_core.config.method import AdamWArgs, MethodCard, Requires, loss_weight
from lightly_dino.base_config import (
    MaskArgs,
    layer_decay,
    momentum_start,
    multi_crop,
    num_prototypes,
    patch_embed_lr_factor,
)
from lightly_dino.ibot_config import IBOTConfig


@define(frozen=True, kw_only=True)
class DINOv2Config(IBOTConfig):
    """Options of DINOv2; the defaults are those of its short run on ImageNet."""

    shardable = True

    card = MethodCard(
        paper="Oquab et al. 2023",
        arxiv="2304.07193",
        teacher="average",
        memory="centres",
        use="to go on from DINOv2's weights; large sets",
    )
    metrics: ClassVar[tuple[str, ...]] = (*IBOTConfig.metrics, "train_loss/koleo")
    views = multi_crop(scale=0.32, num_local=8, local_size=98)
    optimizers = {
        "adamw": AdamWArgs(
            lr=4e-3,
            weight_decay=0.04,
            weight_decay_end=0.4,
            lr_scale_method="sqrt",
            reference_batch_size=1024,
            final_lr_fraction=0.00025,
        ),
    }

    output_dim: int | Literal["auto"] = num_prototypes()
    mask: MaskArgs = field(default=MaskArgs(), metadata={"help": "which patches are masked"})
    ibot_separate_head: bool = field(
        default=False, metadata={"help": "give patches a head of their own, as large models have"}
    )
    ibot_bottleneck_dim: int = field(
        default=256,
        validator=ge(1),
        metadata={"help": "bottleneck_dim of that head"},
    )
    koleo_loss_weight: float = loss_weight(
        0.1, "KoLeo, which separates the features of different images", "koleo_weight"
    )
    momentum_start: float | Literal["auto"] = momentum_start(0.992)
    layer_decay: float = layer_decay(0.9)
    patch_embed_lr_factor: float = patch_embed_lr_factor(0.2)

    def requirements(self) -> Requires:
        """Return two images per process if KoLeo searches for neighbours."""
        return evolve(self.requires, images_per_process=2 if self.koleo_loss_weight else 1)
