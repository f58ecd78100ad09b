"""Options of EMP-SSL (Tong et al. 2023, https://arxiv.org/abs/2304.03977)."""

from __future__ import annotations

from attrs import define, field

from lightly_core.config.method import (
    ColorJitterArgs,
    GaussianBlurArgs,
    LARSArgs,
    MethodCard,
    MethodConfig,
    RandomFlipArgs,
    RandomResizeArgs,
    Requires,
    SolarizeArgs,
    TransformArgs,
    at_least,
    hidden_dim,
    loss_weight,
    num_layers,
    output_dim,
    positive,
    transformer_adamw,
)


@define(frozen=True, kw_only=True)
class EMPSSLConfig(MethodConfig):
    """Options of EMP-SSL. The defaults are the paper's but for the size of crops."""

    shardable = True

    card = MethodCard(
        paper="Tong et al. 2023",
        arxiv="2304.03977",
        use="few epochs of a small dataset: each step sees an image in 20 pieces",
    )
    requires = Requires(global_views=at_least(2), local_views=True, images_per_process=2)
    metrics = ("train_loss/distance", "train_loss/coding_rate")
    # Crops of a quarter of the image, at half of the usual size. An object in a crop is then as
    # large as in the whole image that the network is used with.
    views = TransformArgs(
        image_size=(112, 112),
        num_views=20,
        random_resize=RandomResizeArgs(
            min_scale=0.25, max_scale=0.25, min_ratio=1.0, max_ratio=1.0
        ),
        random_flip=RandomFlipArgs(horizontal_prob=0.5, vertical_prob=0.0),
        color_jitter=ColorJitterArgs(
            prob=0.8, strength=1.0, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2
        ),
        random_gray_scale=0.2,
        gaussian_blur=GaussianBlurArgs(prob=0.1, sigmas=(0.1, 2.0)),
        solarize=SolarizeArgs(prob=0.1, threshold=0.5),
    )
    optimizer = "lars"
    optimizers = {
        "lars": LARSArgs(
            lr=0.3,
            weight_decay=1e-4,
            nesterov=True,
            trust_coefficient=0.005,
            clip=True,
            lr_scale_method="linear",
            reference_batch_size=100,
            warmup_epochs=0,
            final_lr_fraction=0.0,
        ),
        "adamw": transformer_adamw(),
    }
    target_steps = 38_000  # 30 epochs of ImageNet-100 at the paper's batch of 100

    hidden_dim: int = hidden_dim(4096)
    output_dim: int = output_dim(1024)
    num_layers: int = num_layers(3)
    invariance_weight: float = loss_weight(
        200.0, "the similarity of crops to their image's mean", "patch_sim"
    )
    coding_rate_eps: float = field(
        default=0.2,
        validator=positive,
        metadata={"help": "squared precision of the coding rate", "aliases": ("eps",)},
    )
