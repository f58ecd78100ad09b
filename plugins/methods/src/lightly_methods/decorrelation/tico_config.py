"""Options of TiCo (Zhu et al. 2022, https://arxiv.org/abs/2206.10698)."""

from __future__ import annotations

from typing import Literal

from attrs import define, field

from lightly_core.config.method import (
    MethodCard,
    Requires,
    TeacherConfig,
    below_one,
    byol_views,
    exactly,
    exported,
    hidden_dim,
    linear_lars,
    loss_weight,
    num_layers,
    output_dim,
    transformer_adamw,
)


@define(frozen=True, kw_only=True)
class TiCoConfig(TeacherConfig):
    """Options of TiCo. The defaults are the paper's for ResNet-50."""

    shardable = True

    card = MethodCard(
        paper="Zhu et al. 2022",
        arxiv="2206.10698",
        teacher="average",
        memory="second moments of past projections",
        use="small batches: past images replace other images of the batch",
    )
    requires = Requires(global_views=exactly(2), images_per_process=2)
    metrics = ("train_loss/invariance", "train_loss/contrast")
    views = byol_views()
    optimizer = "lars"
    optimizers = {
        "lars": linear_lars(0.2, weight_decay=1.5e-6),
        "adamw": transformer_adamw(),
    }
    target_steps = 62_500  # 200 epochs of ImageNet at the paper's batch of 4096
    paper_momentum = 0.99

    hidden_dim: int = hidden_dim(4096)
    output_dim: int = output_dim(256)
    num_layers: int = num_layers(2)
    memory_momentum: float = field(
        default=0.9,
        validator=below_one,
        metadata={
            "help": "momentum of the average of second moments; 0: this batch only",
            "aliases": ("beta",),
        },
    )
    contrast_weight: float = loss_weight(8.0, "the term against directions in use", "rho")
    export: Literal["teacher", "student"] = exported("student")
