"""Options of methods that assign views to clusters. No torch here."""

from __future__ import annotations

from typing import ClassVar, Literal

from attrs import define, field
from attrs.validators import ge

from lightly_core.config.augmentations import LocalViewArgs
from lightly_core.config.checks import auto_or, positive
from lightly_core.config.method import MethodConfig
from lightly_core.config.optim import AdamWArgs, LARSArgs, OptimizerArgs, SGDArgs
from lightly_core.config.requires import Requires, at_least
from lightly_core.config.transform import MultiCropTransformArgs, TransformArgs
from lightly_core.config.view_presets import simclr_views

_FEWEST, _MOST = 64, 3000


def auto_clusters(dataset_size: int, images_per_cluster: int) -> int:
    """Return a number of clusters between 64 and the papers' 3000 for ImageNet.

    Args:
        dataset_size: Number of images.
        images_per_cluster: How many of them share a cluster between these limits.
    """
    return min(_MOST, max(_FEWEST, dataset_size // images_per_cluster))


def swav_views() -> MultiCropTransformArgs:
    """Return two large and six small crops in SimCLR's colours, SwAV's augmentation."""
    large = simclr_views(min_scale=0.14)
    return MultiCropTransformArgs(
        num_views=2,
        random_resize=large.random_resize,
        random_flip=large.random_flip,
        color_jitter=large.color_jitter,
        random_gray_scale=large.random_gray_scale,
        gaussian_blur=large.gaussian_blur,
        solarize=None,
        local_view=LocalViewArgs(),
    )


@define(frozen=True, kw_only=True)
class ClusteringConfig(MethodConfig):
    """What SwAV and DeepCluster-v2 share; the defaults are the papers' for ImageNet."""

    optimizer: ClassVar[str] = "lars"
    # 100 epochs of ImageNet at batch 1280; the papers have 256 and 4096.
    target_steps: ClassVar[int] = 100_000
    requires: ClassVar[Requires] = Requires(
        global_views=at_least(2), local_views=True, images_per_process=2
    )

    num_prototypes: int | Literal["auto"] = field(
        default="auto",
        validator=auto_or(ge(2)),
        metadata={
            "help": "prototypes that views are assigned to; auto: one for ten images, at least 64 "
            "and at most the paper's 3000"
        },
    )
    hidden_dim: int = field(
        default=2048, validator=ge(1), metadata={"help": "width of the projector's hidden layer"}
    )
    output_dim: int = field(
        default=128,
        validator=ge(1),
        metadata={"help": "width of the space in which views and prototypes are compared"},
    )
    temperature: float = field(
        default=0.1, validator=positive, metadata={"help": "temperature of the softmax"}
    )

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return two large and six small crops."""
        return swav_views()

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return learning rate and decay for the optimizer called `name`."""
        if name == "lars":
            # The papers have 0.6 at batch 256 and 4.8 at 4096, which is between the linear rule
            # and the square root; the latter is the safe side.
            return LARSArgs(
                lr=0.6, lr_scale_method="sqrt", reference_batch_size=256, weight_decay=1e-6
            )
        if name == "sgd":
            return SGDArgs(lr=0.1, reference_batch_size=256, weight_decay=1e-4)
        if name == "adamw":
            return AdamWArgs(
                lr=5e-4, lr_scale_method="sqrt", reference_batch_size=256, weight_decay=0.05
            )
        return super().default_optimizer(name)
