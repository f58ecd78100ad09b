"""Options of SimSiam (Chen and He 2021, https://arxiv.org/abs/2011.10566)."""

from __future__ import annotations

from typing import ClassVar, Literal

from attrs import define, field
from attrs.validators import ge

from lightly_core.config.method import MethodCard, MethodConfig
from lightly_core.config.optim import OptimizerArgs, SGDArgs
from lightly_core.config.recipes import paper_adamw
from lightly_core.config.requires import Requires, exactly
from lightly_core.config.transform import TransformArgs
from lightly_core.config.view_presets import moco_views


@define(frozen=True, kw_only=True)
class SimSiamConfig(MethodConfig):
    """Options of SimSiam; the defaults are the paper's for ResNet-50."""

    metrics: ClassVar[tuple[str, ...] | None] = ("projection/std",)
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Chen and He 2021",
        arxiv="2011.10566",
        use="small batches and little memory: no negatives, no teacher, no queue",
    )
    optimizer: ClassVar[str] = "sgd"
    # 50 epochs of ImageNet at the paper's batch of 512, which has 100 and more.
    target_steps: ClassVar[int] = 125_000
    requires: ClassVar[Requires] = Requires(global_views=exactly(2), images_per_process=2)

    num_layers: int = field(
        default=3,
        validator=ge(1),
        metadata={"help": "linear layers of the projector; the paper has 2 for CIFAR"},
    )
    hidden_dim: int = field(
        default=2048, validator=ge(1), metadata={"help": "width of the projector's hidden layers"}
    )
    output_dim: int = field(
        default=2048,
        validator=ge(1),
        metadata={"help": "width of the space in which views are compared"},
    )
    predictor_hidden_dim: int = field(
        default=512,
        validator=ge(1),
        metadata={"help": "width of the predictor's hidden layer, a bottleneck in the paper"},
    )
    predictor_lr: Literal["constant", "scheduled"] = field(
        default="constant",
        metadata={
            "help": "learning rate of the predictor: constant, without warm-up and decay, as in "
            "the paper; scheduled: that of the rest, as in Lightly SSL"
        },
    )

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return the paper's two views, which are those of MoCo v2."""
        return moco_views()

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return learning rate and decay for the optimizer called `name`."""
        if name == "sgd":
            return SGDArgs(
                lr=0.05,
                momentum=0.9,
                weight_decay=1e-4,
                warmup_epochs=0.0,
                final_lr_fraction=0.0,
            )
        if name == "adamw":  # for transformers, which the paper does not try
            return paper_adamw(5e-4, 256, weight_decay=0.05, warmup_epochs=10.0)
        return super().default_optimizer(name)
