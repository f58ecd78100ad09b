"""Options of BYOL (Grill et al. 2020, https://arxiv.org/abs/2006.07733)."""

from __future__ import annotations

from typing import Literal

from attrs import define

from lightly_core.config.method import (
    LARSArgs,
    MethodCard,
    Requires,
    SGDArgs,
    SmallRecipe,
    TeacherConfig,
    at_least,
    byol_views,
    exported,
    hidden_dim,
    output_dim,
    paper_adamw,
    predictor_hidden_dim,
)


@define(frozen=True, kw_only=True)
class BYOLConfig(TeacherConfig):
    """Options of BYOL. The defaults are the paper's for ResNet-50 and 100 epochs."""

    shardable = True

    card = MethodCard(
        paper="Grill et al. 2020",
        arxiv="2006.07733",
        teacher="average",
        use="convolutional networks; no negatives, so similar images do no harm",
    )
    requires = Requires(global_views=at_least(2), local_views=True, images_per_process=2)
    metrics = ("projection/std",)
    views = byol_views()
    optimizer = "lars"
    optimizers = {
        # The paper has 0.3 for 300 epochs, 0.2 and 1.5e-6 for 1000.
        "lars": LARSArgs(lr=0.45, weight_decay=1e-6, warmup_epochs=10.0, final_lr_fraction=0.0),
        # For small images and batches. Lightly's benchmark on CIFAR-10 has 0.12 and 5e-4 with a
        # quarter of this loss: a quarter of the rate and four times the decay are the same.
        "sgd": SGDArgs(lr=0.03, momentum=0.9, weight_decay=2e-3, warmup_epochs=0.0),
        # For transformers, which the paper does not try.
        "adamw": paper_adamw(2e-3, 4096, weight_decay=0.05, warmup_epochs=10.0),
    }
    target_steps = 31_250  # 100 epochs of ImageNet at the paper's batch of 4096
    paper_momentum = 0.99  # the paper's for 100 and 300 epochs; 0.996 for 1000
    small = SmallRecipe(
        method_args={"hidden_dim": 512, "output_dim": 128, "predictor_hidden_dim": 512}
    )

    hidden_dim: int = hidden_dim(4096)
    output_dim: int = output_dim(256)
    predictor_hidden_dim: int = predictor_hidden_dim(4096)
    export: Literal["teacher", "student"] = exported("student")
