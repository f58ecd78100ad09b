"""Options of Barlow Twins (Zbontar et al. 2021, https://arxiv.org/abs/2103.03230)."""

from __future__ import annotations

from typing import ClassVar

from attrs import define, field

from lightly_core.config.checks import not_negative, positive
from lightly_core.config.method import MethodCard
from lightly_core.config.optim import OptimizerArgs
from lightly_core.config.transform import TransformArgs
from lightly_core.config.view_presets import byol_views
from lightly_methods.decorrelation.joint_config import (
    JointConfig,
    hidden_width,
    linear_lars,
    output_width,
)


@define(frozen=True, kw_only=True)
class BarlowTwinsConfig(JointConfig):
    """Options of Barlow Twins; the defaults are the paper's for ResNet-50."""

    metrics: ClassVar[tuple[str, ...] | None] = ("train_loss/diagonal", "train_loss/off_diagonal")
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Zbontar et al. 2021",
        arxiv="2103.03230",
        use="small batches without a teacher, where a wide projector fits into memory",
    )
    # 100 epochs of ImageNet at the paper's batch of 2048.
    target_steps: ClassVar[int] = 62_500

    hidden_dim: int = hidden_width(8192)
    output_dim: int = output_width(8192, "; wider is better, memory grows with its square")
    off_diagonal_weight: float = field(
        default=0.0051,
        validator=not_negative,
        metadata={
            "help": "weight of the term against correlated channels",
            "aliases": ("lambda_param",),
        },
    )
    bias_lr_factor: float = field(
        default=0.024,
        validator=positive,
        metadata={
            "help": "factor on the learning rate of biases and norms; the paper's 0.0048 / 0.2 is "
            "meant for LARS, which gives them no trust ratio; set 1 with other optimizers"
        },
    )

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return the views of BYOL."""
        return byol_views()

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return learning rate and decay for the optimizer called `name`."""
        if name == "lars":
            # The defaults of the authors' main.py; the paper's decay is 1.5e-6.
            return linear_lars(0.2, weight_decay=1e-6)
        return super().default_optimizer(name)
