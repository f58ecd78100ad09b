"""Options of BYOL (Grill et al. 2020, https://arxiv.org/abs/2006.07733)."""

from __future__ import annotations

from typing import ClassVar, Literal

from attrs import define, field
from attrs.validators import ge

from lightly_core.config.method import MethodCard
from lightly_core.config.optim import LARSArgs, OptimizerArgs, SGDArgs
from lightly_core.config.requires import Requires, at_least
from lightly_core.config.teacher import TeacherConfig, exported
from lightly_core.config.transform import TransformArgs
from lightly_core.config.view_presets import byol_views
from lightly_ssl_methods.common.options import paper_adamw


@define(frozen=True, kw_only=True)
class BYOLConfig(TeacherConfig):
    """Options of BYOL; the defaults are the paper's for ResNet-50 and 100 epochs."""

    metrics: ClassVar[tuple[str, ...] | None] = ("projection/std", "schedule/teacher_momentum")
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Grill et al. 2020",
        arxiv="2006.07733",
        teacher="average",
        use="convolutional networks; no negatives, so similar images do no harm",
    )
    optimizer: ClassVar[str] = "lars"
    # 100 epochs of ImageNet at the paper's batch of 4096.
    target_steps: ClassVar[int] = 31_250
    requires: ClassVar[Requires] = Requires(
        global_views=at_least(2), local_views=True, images_per_process=2
    )
    # The paper's for 100 and 300 epochs; 0.996 for 1000.
    paper_momentum: ClassVar[float] = 0.99

    hidden_dim: int = field(
        default=4096, validator=ge(1), metadata={"help": "width of the projector's hidden layer"}
    )
    output_dim: int = field(
        default=256,
        validator=ge(1),
        metadata={"help": "width of the space in which views are compared"},
    )
    predictor_hidden_dim: int = field(
        default=4096, validator=ge(1), metadata={"help": "width of the predictor's hidden layer"}
    )
    export: Literal["teacher", "student"] = exported("student")

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return the paper's two unequal views."""
        return byol_views()

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return learning rate and decay for the optimizer called `name`."""
        if name == "lars":  # the paper has 0.3 for 300 epochs, 0.2 and 1.5e-6 for 1000
            return LARSArgs(lr=0.45, weight_decay=1e-6, warmup_epochs=10.0, final_lr_fraction=0.0)
        if name == "sgd":
            # For small images and batches. Lightly's benchmark on CIFAR-10 has 0.12 and 5e-4 with a
            # quarter of this loss: a quarter of the rate and four times the decay are the same.
            return SGDArgs(lr=0.03, momentum=0.9, weight_decay=2e-3, warmup_epochs=0.0)
        if name == "adamw":  # for transformers, which the paper does not try
            return paper_adamw(2e-3, 4096, weight_decay=0.05, warmup_epochs=10.0)
        return super().default_optimizer(name)
