"""Options of ReSA (Weng et al. 2025, https://arxiv.org/abs/2501.18452)."""

from __future__ import annotations

from typing import ClassVar

from attrs import define, evolve, field
from attrs.validators import ge

from lightly_core.config.augmentations import GaussianBlurArgs, GlobalView1Args, SolarizeArgs
from lightly_core.config.checks import positive
from lightly_core.config.method import MethodCard
from lightly_core.config.optim import OptimizerArgs, SGDArgs
from lightly_core.config.recipes import paper_adamw
from lightly_core.config.requires import Requires, exactly
from lightly_core.config.teacher import TeacherConfig
from lightly_core.config.transform import TransformArgs
from lightly_core.config.view_presets import byol_views


@define(frozen=True, kw_only=True)
class ReSAConfig(TeacherConfig):
    """Options of ReSA; the defaults are the paper's for ResNet-50 and batches of 256."""

    metrics: ClassVar[tuple[str, ...] | None] = (
        "assignment/own",
        "projection/std",
        "schedule/teacher_momentum",
    )
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Weng et al. 2025",
        arxiv="2501.18452",
        teacher="average",
        use="few epochs on one GPU; good neighbours",
    )
    optimizer: ClassVar[str] = "sgd"
    # 25 epochs of ImageNet at the paper's batch of 256, which has 100 and more.
    target_steps: ClassVar[int] = 125_000
    requires: ClassVar[Requires] = Requires(
        global_views=exactly(2), local_views=True, images_per_process=2
    )

    temperature: float = field(
        default=0.4,
        validator=positive,
        metadata={"help": "softmax temperature of the projections' cosines"},
    )
    sinkhorn_temperature: float = field(
        default=0.05,
        validator=positive,
        metadata={"help": "temperature of the features' cosines in the targets; larger is softer"},
    )
    sinkhorn_iterations: int = field(
        default=3,
        validator=ge(1),
        metadata={"help": "iterations that make images equally wanted in the targets"},
    )
    num_layers: int = field(
        default=3, validator=ge(1), metadata={"help": "linear layers of the projector"}
    )
    hidden_dim: int = field(
        default=2048,
        validator=ge(1),
        metadata={"help": "width of the hidden layers of projector and predictor"},
    )
    output_dim: int = field(
        default=512,
        validator=ge(1),
        metadata={"help": "width of the space in which projections are compared"},
    )
    predictor: bool = field(
        default=True,
        metadata={"help": "predict the teacher's projections; the paper does without on CIFAR"},
    )

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return a view that is cropped and mirrored only, and a strongly changed one."""
        views = byol_views(min_scale=0.2)
        return evolve(
            views,
            color_jitter=None,
            random_gray_scale=None,
            gaussian_blur=None,
            solarize=None,
            global_view_1=GlobalView1Args(
                color_jitter=views.color_jitter,
                random_gray_scale=views.random_gray_scale,
                gaussian_blur=GaussianBlurArgs(prob=0.5, sigmas=(0.1, 2.0)),
                solarize=SolarizeArgs(prob=0.2, threshold=0.5),
            ),
        )

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return learning rate and decay for the optimizer called `name`."""
        if name == "sgd":
            return SGDArgs(lr=0.5, momentum=0.9, weight_decay=1e-5, warmup_epochs=2.0)
        if name == "adamw":  # the paper's for ViT-S and 300 epochs
            return paper_adamw(2e-3, 1024, weight_decay=0.1, warmup_epochs=40.0)
        return super().default_optimizer(name)
