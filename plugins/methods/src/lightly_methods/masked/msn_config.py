"""Options of MSN (Assran et al. 2022, https://arxiv.org/abs/2204.07141)."""

from __future__ import annotations

from typing import ClassVar

from attrs import define, field
from attrs.validators import ge

from lightly_core.config.augmentations import (
    ColorJitterArgs,
    GaussianBlurArgs,
    LocalViewArgs,
    RandomFlipArgs,
    RandomResizeArgs,
)
from lightly_core.config.checks import below_one, not_negative, positive
from lightly_core.config.method import MethodCard
from lightly_core.config.optim import OptimizerArgs
from lightly_core.config.recipes import paper_adamw
from lightly_core.config.requires import Requires, at_least
from lightly_core.config.teacher import TeacherConfig
from lightly_core.config.transform import MultiCropTransformArgs, TransformArgs


@define(frozen=True, kw_only=True)
class MSNConfig(TeacherConfig):
    """Options of MSN; the defaults are the paper's for ViT-S."""

    metrics: ClassVar[tuple[str, ...] | None] = (
        "train_loss/cross_entropy",
        "train_loss/regularization",
        "schedule/teacher_momentum",
    )
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Assran et al. 2022",
        arxiv="2204.07141",
        needs="patch tokens",
        teacher="average",
        memory="prototypes",
        use="frozen features, few labels",
    )

    # 80 epochs of ImageNet at the paper's batch of 1024.
    target_steps: ClassVar[int] = 100_000
    requires: ClassVar[Requires] = Requires(
        global_views=at_least(2),
        local_views=True,
        images=2,
        capability="tokens",
        whole_patches=True,
    )
    gradient_clip_val: ClassVar[float | None] = 3.0

    mask_ratio: float = field(
        default=0.15,
        validator=below_one,
        metadata={
            "help": "share of patches that are left out of the student's large views; the paper "
            "has 0.15 for ViT-S, 0.3 for ViT-B and 0.7 for ViT-L"
        },
    )
    num_prototypes: int = field(
        default=1024,
        validator=ge(2),
        metadata={"help": "prototypes that views are matched with"},
    )
    hidden_dim: int = field(
        default=2048, validator=ge(1), metadata={"help": "width of the head's hidden layers"}
    )
    output_dim: int = field(
        default=256,
        validator=ge(1),
        metadata={"help": "width of the space in which views and prototypes are compared"},
    )
    batch_norm: bool = field(
        default=True, metadata={"help": "batch norm behind the head's hidden layers"}
    )
    temperature: float = field(
        default=0.1,
        validator=positive,
        metadata={
            "help": "softmax temperature of the student, and of the teacher before sharpening",
            "aliases": ("student_temp",),
        },
    )
    target_sharpen_temperature: float = field(
        default=0.25,
        validator=positive,
        metadata={"help": "the teacher's probabilities are raised to 1 / this; 1: no sharpening"},
    )
    sinkhorn_iterations: int = field(
        default=3,
        validator=ge(0),
        metadata={"help": "iterations that spread the targets evenly over prototypes; 0: none"},
    )
    regularization_weight: float = field(
        default=1.0,
        validator=not_negative,
        metadata={"help": "weight of the term that keeps all prototypes in use"},
    )

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return the teacher's view, one large view for the student, and ten small ones."""
        return MultiCropTransformArgs(
            num_views=2,
            random_resize=RandomResizeArgs(min_scale=0.3, max_scale=1.0),
            random_flip=RandomFlipArgs(horizontal_prob=0.5, vertical_prob=0.0),
            color_jitter=ColorJitterArgs(
                prob=0.8, strength=0.5, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2
            ),
            random_gray_scale=0.2,
            gaussian_blur=GaussianBlurArgs(prob=0.5, sigmas=(0.1, 2.0)),
            solarize=None,
            local_view=LocalViewArgs(
                num_views=10,
                view_size=96,
                random_resize=RandomResizeArgs(min_scale=0.05, max_scale=0.3),
                gaussian_blur=GaussianBlurArgs(prob=0.5, sigmas=(0.1, 2.0)),
            ),
        )

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return learning rate and decay for the optimizer called `name`."""
        if name == "adamw":
            return paper_adamw(
                1e-3, 1024, weight_decay=0.04, weight_decay_end=0.4, warmup_epochs=15
            )
        return super().default_optimizer(name)
