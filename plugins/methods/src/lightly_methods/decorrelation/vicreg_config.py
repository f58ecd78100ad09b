"""Options of VICReg (Bardes et al. 2022, https://arxiv.org/abs/2105.04906)."""

from __future__ import annotations

from typing import ClassVar

from attrs import define, evolve, field

from lightly_core.config.augmentations import GaussianBlurArgs, SolarizeArgs
from lightly_core.config.checks import not_negative
from lightly_core.config.method import MethodCard
from lightly_core.config.optim import LARSArgs, OptimizerArgs
from lightly_core.config.transform import TransformArgs
from lightly_core.config.view_presets import byol_views
from lightly_methods.decorrelation.joint_config import JointConfig, hidden_width, output_width


@define(frozen=True, kw_only=True)
class VICRegConfig(JointConfig):
    """Options of VICReg; the defaults are the paper's for ResNet-50."""

    metrics: ClassVar[tuple[str, ...] | None] = (
        "train_loss/invariance",
        "train_loss/variance",
        "train_loss/covariance",
    )
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Bardes et al. 2022",
        arxiv="2105.04906",
        use="no teacher and no negatives; each view is kept from collapse on its own",
    )
    # 100 epochs of ImageNet at the paper's batch of 2048.
    target_steps: ClassVar[int] = 62_500

    hidden_dim: int = hidden_width(8192)
    output_dim: int = output_width(8192, "; memory grows with its square")
    invariance_weight: float = field(
        default=25.0,
        validator=not_negative,
        metadata={
            "help": "weight of the squared difference of the views",
            "aliases": ("lambda_param",),
        },
    )
    variance_weight: float = field(
        default=25.0,
        validator=not_negative,
        metadata={
            "help": "weight of the term that keeps each channel's deviation above 1",
            "aliases": ("mu_param",),
        },
    )
    covariance_weight: float = field(
        default=1.0,
        validator=not_negative,
        metadata={
            "help": "weight of the term against correlated channels",
            "aliases": ("nu_param",),
        },
    )

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return BYOL's views made equal: blur and solarisation happen to both alike."""
        return evolve(
            byol_views(),
            gaussian_blur=GaussianBlurArgs(prob=0.5, sigmas=(0.1, 2.0)),
            solarize=SolarizeArgs(prob=0.1, threshold=0.5),
            global_view_1=None,
        )

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return learning rate and decay for the optimizer called `name`."""
        if name == "lars":
            # The authors' 0.3 * 512 / 256 for 100 epochs. From there down to 128 images a rate in
            # proportion to the batch is known to be too small; the root is near what worked.
            return LARSArgs(
                lr=0.6,
                weight_decay=1e-6,
                lr_scale_method="sqrt",
                reference_batch_size=512,
            )
        return super().default_optimizer(name)
