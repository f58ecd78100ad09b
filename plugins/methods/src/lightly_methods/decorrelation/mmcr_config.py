"""Options of MMCR (Yerxa et al. 2023, https://arxiv.org/abs/2303.03307)."""

from __future__ import annotations

from typing import Literal

from attrs import define, evolve

from lightly_core.config.method import (
    MethodCard,
    Requires,
    TeacherConfig,
    at_least,
    byol_views,
    exported,
    hidden_dim,
    linear_lars,
    loss_weight,
    num_layers,
    output_dim,
    transformer_adamw,
)
from lightly_core.config.options.short_runs import SmallRecipe


@define(frozen=True, kw_only=True)
class MMCRConfig(TeacherConfig):
    """Options of MMCR. The defaults are the paper's for ResNet-50."""

    shardable = True

    card = MethodCard(
        paper="Yerxa et al. 2023",
        arxiv="2303.03307",
        teacher="average",
        use="several views of each image; batches above the width of the projection",
    )
    requires = Requires(global_views=at_least(2), local_views=True, images_per_process=2)
    metrics = ("train_loss/extent", "train_loss/manifold")
    views = evolve(byol_views(), num_views=4)  # of BYOL's two kinds
    optimizer = "lars"
    optimizers = {"lars": linear_lars(0.8), "adamw": transformer_adamw()}
    target_steps = 62_500  # 100 epochs of ImageNet at the paper's batch of 2048
    paper_momentum = 0.99
    small = SmallRecipe(method_args={"hidden_dim": 512, "output_dim": 64})

    hidden_dim: int = hidden_dim(8192)
    output_dim: int = output_dim(512)
    num_layers: int = num_layers(3)
    # The paper has 0, since long means already make the views alike.
    compression_weight: float = loss_weight(
        0.0, "the term that makes the views of one image alike; the paper has 0", "lmbda"
    )
    export: Literal["teacher", "student"] = exported("student")
