"""Options of SimSiam (Chen and He 2021, https://arxiv.org/abs/2011.10566)."""

from __future__ import annotations

from typing import Literal

from attrs import define, field

from lightly_core.config.method import (
    MethodCard,
    MethodConfig,
    Requires,
    SGDArgs,
    exactly,
    hidden_dim,
    moco_views,
    num_layers,
    output_dim,
    predictor_hidden_dim,
    transformer_adamw,
)


@define(frozen=True, kw_only=True)
class SimSiamConfig(MethodConfig):
    """Options of SimSiam. The defaults are the paper's for ResNet-50."""

    shardable = True

    card = MethodCard(
        paper="Chen and He 2021",
        arxiv="2011.10566",
        use="small batches and little memory: no negatives, no teacher, no queue",
    )
    requires = Requires(global_views=exactly(2), images_per_process=2)
    metrics = ("projection/std",)
    views = moco_views()
    optimizer = "sgd"
    optimizers = {
        "sgd": SGDArgs(
            lr=0.05, momentum=0.9, weight_decay=1e-4, warmup_epochs=0.0, final_lr_fraction=0.0
        ),
        "adamw": transformer_adamw(),
    }
    # 50 epochs of ImageNet at the paper's batch of 512. The paper trains for 100 and more.
    target_steps = 125_000

    num_layers: int = num_layers(3, note="; the paper has 2 for CIFAR")
    hidden_dim: int = hidden_dim(2048)
    output_dim: int = output_dim(2048)
    predictor_hidden_dim: int = predictor_hidden_dim(512, ", a bottleneck in the paper")
    predictor_lr: Literal["constant", "scheduled"] = field(
        default="constant",
        metadata={
            "help": "learning rate of the predictor: constant, without warm-up and decay, as in "
            "the paper; scheduled: that of the rest, as in Lightly SSL"
        },
    )
