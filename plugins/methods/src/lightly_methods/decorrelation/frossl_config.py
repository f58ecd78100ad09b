"""Options of FroSSL (Skean et al. 2024, https://arxiv.org/abs/2310.02903)."""

from __future__ import annotations

from attrs import define, evolve

from lightly_core.config.method import (
    LARSArgs,
    MethodCard,
    MethodConfig,
    RandomResizeArgs,
    Requires,
    at_least,
    hidden_dim,
    loss_weight,
    num_layers,
    output_dim,
    swav_views,
    transformer_adamw,
)


@define(frozen=True, kw_only=True)
class FroSSLConfig(MethodConfig):
    """Options of FroSSL. The defaults are the authors' for ImageNet-100."""

    shardable = True

    card = MethodCard(
        paper="Skean et al. 2024",
        arxiv="2310.02903",
        use="short runs; cheap with more than two views",
    )
    requires = Requires(global_views=at_least(2), local_views=True, images_per_process=2)
    metrics = ("train_loss/spectrum", "train_loss/invariance")
    # SimCLR's views. ``global_view_1`` can make them those of BYOL.
    views = evolve(
        swav_views(),
        random_resize=RandomResizeArgs(min_scale=0.08, max_scale=1.0),
        local_view=None,
    )
    optimizer = "lars"
    optimizers = {
        "lars": LARSArgs(
            lr=0.3,
            weight_decay=1e-4,
            lr_scale_method="linear",
            reference_batch_size=256,
            trust_coefficient=0.02,
            clip=True,
        ),
        "adamw": transformer_adamw(),
    }
    target_steps = 100_000  # the authors train for 200,000 steps of 256 images

    hidden_dim: int = hidden_dim(4096)
    output_dim: int = output_dim(1024)
    num_layers: int = num_layers(3)
    invariance_weight: float = loss_weight(1.0, "the distance of the views from their mean")
