"""Options of Barlow Twins (Zbontar et al. 2021, https://arxiv.org/abs/2103.03230)."""

from __future__ import annotations

from attrs import define, field

from lightly_core.config.method import (
    MethodCard,
    MethodConfig,
    Requires,
    byol_views,
    exactly,
    hidden_dim,
    linear_lars,
    loss_weight,
    num_layers,
    output_dim,
    positive,
    transformer_adamw,
)
from lightly_core.config.options.short_runs import SmallRecipe


@define(frozen=True, kw_only=True)
class BarlowTwinsConfig(MethodConfig):
    """Options of Barlow Twins. The defaults are the paper's for ResNet-50."""

    shardable = True

    card = MethodCard(
        paper="Zbontar et al. 2021",
        arxiv="2103.03230",
        use="small batches without a teacher, where a wide projector fits into memory",
    )
    requires = Requires(global_views=exactly(2), images_per_process=2)
    metrics = ("train_loss/diagonal", "train_loss/off_diagonal")
    views = byol_views()
    optimizer = "lars"
    optimizers = {
        "lars": linear_lars(0.2),  # from the authors' main.py; the paper's weight decay is 1.5e-6
        "adamw": transformer_adamw(),
    }
    target_steps = 62_500  # 100 epochs of ImageNet at the paper's batch of 2048
    small = SmallRecipe(method_args={"hidden_dim": 512, "output_dim": 512, "bias_lr_factor": 1.0})

    num_layers: int = num_layers(3)
    hidden_dim: int = hidden_dim(8192)
    output_dim: int = output_dim(8192, note="; wider is better, memory grows with its square")
    off_diagonal_weight: float = loss_weight(
        0.0051, "the term against correlated dimensions", "lambda_param"
    )
    bias_lr_factor: float = field(
        default=0.024,
        validator=positive,
        metadata={
            "help": "factor on the learning rate of biases and norms; the paper's 0.0048 / 0.2 is "
            "meant for LARS, which gives them no trust ratio; set 1 with other optimizers"
        },
    )
