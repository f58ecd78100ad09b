"""Options of methods that assign views to clusters. No torch here."""

from __future__ import annotations

from typing import Literal

from attrs import define, field
from attrs.validators import ge

from lightly_core.config.method import (
    LARSArgs,
    MethodConfig,
    Requires,
    at_least,
    auto_or,
    hidden_dim,
    linear_sgd,
    output_dim,
    swav_views,
    temperature,
    transformer_adamw,
)

_FEWEST, _MOST = 64, 3000


def auto_clusters(dataset_size: int, images_per_cluster: int) -> int:
    """Return a number of clusters between 64 and the papers' 3000 for ImageNet.

    Args:
        dataset_size: Number of images.
        images_per_cluster: How many of them share a cluster between these limits.
    """
    return min(_MOST, max(_FEWEST, dataset_size // images_per_cluster))


@define(frozen=True, kw_only=True)
class ClusteringConfig(MethodConfig):
    """Options of both SwAV and DeepCluster-v2. The defaults are the papers' for ImageNet."""

    requires = Requires(global_views=at_least(2), local_views=True, images_per_process=2)
    views = swav_views()
    optimizer = "lars"
    optimizers = {
        # The papers have 0.6 at batch 256 and 4.8 at 4096. This is between the linear rule and the
        # square root. The square root is the safe side.
        "lars": LARSArgs(
            lr=0.6, lr_scale_method="sqrt", reference_batch_size=256, weight_decay=1e-6
        ),
        "sgd": linear_sgd(0.1),
        "adamw": transformer_adamw(),
    }
    target_steps = 100_000  # 100 epochs of ImageNet at batch 1280; the papers have 256 and 4096

    num_prototypes: int | Literal["auto"] = field(
        default="auto",
        validator=auto_or(ge(2)),
        metadata={
            "help": "prototypes that views are assigned to; auto: one for ten images, at least 64 "
            "and at most the paper's 3000"
        },
    )
    hidden_dim: int = hidden_dim(2048)
    output_dim: int = output_dim(128, compared="views and prototypes")
    temperature: float = temperature(0.1, note="")
