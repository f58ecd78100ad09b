"""Options of VICReg (Bardes et al. 2022, https://arxiv.org/abs/2105.04906)."""

from __future__ import annotations

from attrs import define, evolve

from lightly_core.config.method import (
    GaussianBlurArgs,
    LARSArgs,
    MethodCard,
    MethodConfig,
    Requires,
    SolarizeArgs,
    byol_views,
    exactly,
    hidden_dim,
    loss_weight,
    num_layers,
    output_dim,
    transformer_adamw,
)
from lightly_core.config.options.short_runs import SmallRecipe


@define(frozen=True, kw_only=True)
class VICRegConfig(MethodConfig):
    """Options of VICReg. The defaults are the paper's for ResNet-50."""

    shardable = True

    card = MethodCard(
        paper="Bardes et al. 2022",
        arxiv="2105.04906",
        use="no teacher and no negatives; each view is kept from collapse on its own",
    )
    requires = Requires(global_views=exactly(2), images_per_process=2)
    metrics = ("train_loss/invariance", "train_loss/variance", "train_loss/covariance")
    # BYOL's views made equal: blur and solarisation have the same probability in both.
    views = evolve(
        byol_views(),
        gaussian_blur=GaussianBlurArgs(prob=0.5, sigmas=(0.1, 2.0)),
        solarize=SolarizeArgs(prob=0.1, threshold=0.5),
        global_view_1=None,
    )
    optimizer = "lars"
    optimizers = {
        # The authors' 0.3 * 512 / 256 for 100 epochs. From there down to 128 images a rate in
        # proportion to the batch is known to be too small; the root is near what worked.
        "lars": LARSArgs(
            lr=0.6, weight_decay=1e-6, lr_scale_method="sqrt", reference_batch_size=512
        ),
        "adamw": transformer_adamw(),
    }
    target_steps = 62_500  # 100 epochs of ImageNet at the paper's batch of 2048
    small = SmallRecipe(method_args={"hidden_dim": 1024, "output_dim": 1024})

    num_layers: int = num_layers(3)
    hidden_dim: int = hidden_dim(8192)
    output_dim: int = output_dim(8192, note="; memory grows with its square")
    invariance_weight: float = loss_weight(
        25.0, "the squared difference of the views", "lambda_param"
    )
    variance_weight: float = loss_weight(
        25.0, "the term that keeps each dimension's standard deviation above 1", "mu_param"
    )
    covariance_weight: float = loss_weight(
        1.0, "the term against correlated dimensions", "nu_param"
    )
