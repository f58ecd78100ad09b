"""Options of MMCR (Yerxa et al. 2023, https://arxiv.org/abs/2303.03307)."""

from __future__ import annotations

from typing import ClassVar, Literal

from attrs import define, evolve, field

from lightly_core.config.checks import not_negative
from lightly_core.config.method import MethodCard
from lightly_core.config.optim import OptimizerArgs
from lightly_core.config.requires import Requires, at_least
from lightly_core.config.teacher import TeacherConfig, exported
from lightly_core.config.transform import TransformArgs
from lightly_core.config.view_presets import byol_views
from lightly_methods.decorrelation.joint_config import (
    hidden_width,
    linear_lars,
    output_width,
    projector_layers,
    transformer_adamw,
)


@define(frozen=True, kw_only=True)
class MMCRConfig(TeacherConfig):
    """Options of MMCR; the defaults are the paper's for ResNet-50."""

    metrics: ClassVar[tuple[str, ...] | None] = (
        "train_loss/extent",
        "train_loss/manifold",
        "schedule/teacher_momentum",
    )
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Yerxa et al. 2023",
        arxiv="2303.03307",
        teacher="average",
        use="several views of each image; batches above the width of the projection",
    )
    optimizer: ClassVar[str] = "lars"
    # 100 epochs of ImageNet at the paper's batch of 2048.
    target_steps: ClassVar[int] = 62_500
    requires: ClassVar[Requires] = Requires(
        global_views=at_least(2), local_views=True, images_per_process=2
    )
    paper_momentum: ClassVar[float] = 0.99

    hidden_dim: int = hidden_width(8192)
    output_dim: int = output_width(512)
    num_layers: int = projector_layers(3)
    compression_weight: float = field(
        default=0.0,
        validator=not_negative,
        metadata={
            "help": "weight of the term that makes the views of one image alike; the paper has 0: "
            "long means do that already",
            "aliases": ("lmbda",),
        },
    )
    export: Literal["teacher", "student"] = exported("student")

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return four views of BYOL's two kinds."""
        return evolve(byol_views(), num_views=4)

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return learning rate and decay for the optimizer called `name`."""
        if name == "lars":
            return linear_lars(0.8, weight_decay=1e-6)
        if name == "adamw":
            return transformer_adamw()
        return super().default_optimizer(name)
