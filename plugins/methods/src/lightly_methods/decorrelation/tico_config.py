"""Options of TiCo (Zhu et al. 2022, https://arxiv.org/abs/2206.10698)."""

from __future__ import annotations

from typing import ClassVar, Literal

from attrs import define, field

from lightly_core.config.checks import below_one, not_negative
from lightly_core.config.method import MethodCard
from lightly_core.config.optim import OptimizerArgs
from lightly_core.config.requires import Requires, exactly
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
class TiCoConfig(TeacherConfig):
    """Options of TiCo; the defaults are the paper's for ResNet-50."""

    metrics: ClassVar[tuple[str, ...] | None] = (
        "train_loss/invariance",
        "train_loss/contrast",
        "schedule/teacher_momentum",
    )
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Zhu et al. 2022",
        arxiv="2206.10698",
        teacher="average",
        memory="second moments of past projections",
        use="small batches: the past stands in for other images of the batch",
    )
    optimizer: ClassVar[str] = "lars"
    # 200 epochs of ImageNet at the paper's batch of 4096.
    target_steps: ClassVar[int] = 62_500
    requires: ClassVar[Requires] = Requires(global_views=exactly(2), images_per_process=2)
    paper_momentum: ClassVar[float] = 0.99

    hidden_dim: int = hidden_width(4096)
    output_dim: int = output_width(256)
    num_layers: int = projector_layers(2)
    memory_momentum: float = field(
        default=0.9,
        validator=below_one,
        metadata={
            "help": "share of the past in the second moments; 0: this batch only",
            "aliases": ("beta",),
        },
    )
    contrast_weight: float = field(
        default=8.0,
        validator=not_negative,
        metadata={
            "help": "weight of the term that pushes away from directions in use",
            "aliases": ("rho",),
        },
    )
    export: Literal["teacher", "student"] = exported("student")

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return the views of BYOL."""
        return byol_views()

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return learning rate and decay for the optimizer called `name`."""
        if name == "lars":
            return linear_lars(0.2, weight_decay=1.5e-6)
        if name == "adamw":
            return transformer_adamw()
        return super().default_optimizer(name)
