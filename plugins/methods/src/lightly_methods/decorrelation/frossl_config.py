"""Options of FroSSL (Skean et al. 2024, https://arxiv.org/abs/2310.02903)."""

from __future__ import annotations

from typing import ClassVar

from attrs import define, evolve, field

from lightly_core.config.augmentations import RandomResizeArgs
from lightly_core.config.checks import not_negative
from lightly_core.config.method import MethodCard
from lightly_core.config.optim import LARSArgs, OptimizerArgs
from lightly_core.config.requires import Requires, at_least
from lightly_core.config.transform import TransformArgs
from lightly_core.config.view_presets import swav_views
from lightly_methods.decorrelation.joint_config import (
    JointConfig,
    hidden_width,
    output_width,
    projector_layers,
)


@define(frozen=True, kw_only=True)
class FroSSLConfig(JointConfig):
    """Options of FroSSL; the defaults are the authors' for ImageNet-100."""

    metrics: ClassVar[tuple[str, ...] | None] = ("train_loss/spectrum", "train_loss/invariance")
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Skean et al. 2024",
        arxiv="2310.02903",
        use="short runs; cheap with more than two views",
    )
    # The authors train for 200,000 steps of 256 images.
    target_steps: ClassVar[int] = 100_000
    requires: ClassVar[Requires] = Requires(
        global_views=at_least(2), local_views=True, images_per_process=2
    )

    hidden_dim: int = hidden_width(4096)
    output_dim: int = output_width(1024)
    num_layers: int = projector_layers(3)
    invariance_weight: float = field(
        default=1.0,
        validator=not_negative,
        metadata={"help": "weight of the distance of the views from their mean"},
    )

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return the views of SimCLR; ``global_view_1`` can make them those of BYOL."""
        resize = RandomResizeArgs(min_scale=0.08, max_scale=1.0)
        return evolve(swav_views(), random_resize=resize, local_view=None)

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return learning rate and decay for the optimizer called `name`."""
        if name == "lars":
            return LARSArgs(
                lr=0.3,
                weight_decay=1e-4,
                lr_scale_method="linear",
                reference_batch_size=256,
                trust_coefficient=0.02,
                clip=True,
            )
        return super().default_optimizer(name)
