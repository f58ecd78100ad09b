"""Options of SimCLR (Chen et al. 2020, https://arxiv.org/abs/2002.05709)."""

from __future__ import annotations

from typing import ClassVar

from attrs import define, field
from attrs.validators import and_, ge, gt

from lightly_core.config.augmentations import (
    ColorJitterArgs,
    GaussianBlurArgs,
    RandomFlipArgs,
    RandomResizeArgs,
)
from lightly_core.config.checks import finite
from lightly_core.config.method import MethodConfig
from lightly_core.config.optim import AdamWArgs, LARSArgs, OptimizerArgs, SGDArgs
from lightly_core.config.transform import TransformArgs


@define(frozen=True, kw_only=True)
class SimCLRConfig(MethodConfig):
    """Options of SimCLR; the defaults are meant for photographs and batches of a few hundred."""

    optimizer: ClassVar[str] = "sgd"
    # 320 epochs of the paper's ImageNet run (batch 4096); its accuracy rises little after that.
    target_steps: ClassVar[int] = 100_000
    view_counts: ClassVar[tuple[int, int | None]] = (2, 2)

    temperature: float = field(
        default=0.1,
        validator=and_(finite, gt(0)),
        metadata={"help": "softmax temperature; smaller weighs hard negatives more"},
    )
    hidden_dim: int = field(
        default=2048,
        validator=ge(1),
        metadata={"help": "width of the projector's hidden layers"},
    )
    output_dim: int = field(
        default=128,
        validator=ge(1),
        metadata={"help": "width of the space in which views are compared"},
    )
    num_layers: int = field(
        default=2, validator=ge(1), metadata={"help": "linear layers of the projector"}
    )
    batch_norm: bool = field(
        default=True,
        metadata={"help": "batch norm after each of the projector's layers, the last included"},
    )

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return the paper's augmentation at full strength, for two views."""
        return TransformArgs(
            num_views=2,
            random_resize=RandomResizeArgs(min_scale=0.08, max_scale=1.0),
            random_flip=RandomFlipArgs(horizontal_prob=0.5, vertical_prob=0.0),
            color_jitter=ColorJitterArgs(
                prob=0.8, strength=1.0, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2
            ),
            random_gray_scale=0.2,
            gaussian_blur=GaussianBlurArgs(prob=0.5, sigmas=(0.1, 2.0)),
            solarize=None,
        )

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return learning rate and decay for the optimizer called `name`."""
        if name == "sgd":
            return SGDArgs(
                lr=0.3,
                momentum=0.9,
                weight_decay=1e-4,
                lr_scale_method="linear",
                reference_batch_size=256,
            )
        if name == "lars":  # the paper's, for batches from 1024 on
            return LARSArgs(
                lr=0.3,
                momentum=0.9,
                weight_decay=1e-6,
                lr_scale_method="linear",
                reference_batch_size=256,
            )
        if name == "adamw":
            # For transformers. At batch 4096 this comes to 2e-3, near the 2.4e-3 that MoCo v3
            # found for contrastive ViTs (https://arxiv.org/abs/2104.02057); the square root, which
            # suits adaptive steps, keeps small batches from learning too slowly.
            return AdamWArgs(
                lr=5e-4,
                weight_decay=0.05,
                lr_scale_method="sqrt",
                reference_batch_size=256,
            )
        # Not super(): attrs makes a new class for slots, which the zero-argument form misses.
        return MethodConfig.default_optimizer(name)
