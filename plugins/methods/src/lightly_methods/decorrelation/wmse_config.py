"""Options of W-MSE (Ermolov et al. 2021, https://arxiv.org/abs/2007.06346)."""

from __future__ import annotations

from typing import ClassVar

from attrs import define, evolve, field
from attrs.validators import ge, optional

from lightly_core.config.checks import below_one
from lightly_core.config.method import MethodCard
from lightly_core.config.optim import AdamWArgs, OptimizerArgs
from lightly_core.config.requires import Requires, at_least
from lightly_core.config.transform import TransformArgs
from lightly_core.config.view_presets import moco_views
from lightly_methods.decorrelation.joint_config import (
    JointConfig,
    hidden_width,
    output_width,
    projector_layers,
)


@define(frozen=True, kw_only=True)
class WMSEConfig(JointConfig):
    """Options of W-MSE; the defaults are the paper's, and such that 128 images are enough."""

    metrics: ClassVar[tuple[str, ...] | None] = ()
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Ermolov et al. 2021",
        arxiv="2007.06346",
        use="small images; the projection must be narrower than the batch is large",
    )
    optimizer: ClassVar[str] = "adamw"
    # The paper's 100 epochs of ImageNet have 250,000 steps of 512 images.
    target_steps: ClassVar[int] = 125_000
    requires: ClassVar[Requires] = Requires(
        global_views=at_least(2), local_views=True, images_per_process=2
    )

    hidden_dim: int = hidden_width(1024)
    output_dim: int = output_width(
        64, "; the paper has 64 for CIFAR and 128 for larger images, with batches of 256 and more"
    )
    num_layers: int = projector_layers(2)
    whitening_size: int | None = field(
        default=None,
        validator=optional(ge(2)),
        metadata={
            "help": "images that are whitened together, more than output_dim; None: the smallest "
            "part of the batch with twice output_dim",
            "aliases": ("w_size",),
        },
    )
    whitening_eps: float = field(
        default=1e-5,
        validator=below_one,
        metadata={
            "help": "share of the identity that is mixed into covariances; the paper has 0, which "
            "does not always have a root in single precision",
            "aliases": ("w_eps",),
        },
    )

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return the paper's views, close to those of MoCo v2."""
        return evolve(moco_views(), random_gray_scale=0.1)

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return learning rate and decay for the optimizer called `name`."""
        if name == "adamw":
            return AdamWArgs(
                lr=2e-3,
                weight_decay=1e-6,
                lr_scale_method="sqrt",
                reference_batch_size=512,
                warmup_epochs=1,
            )
        return super().default_optimizer(name)
