"""Options of LeJEPA (Balestriero and LeCun 2025, https://arxiv.org/abs/2511.08544)."""

from __future__ import annotations

from typing import Literal

from attrs import define, field
from attrs.validators import ge

from lightly_core.config.method import (
    ColorJitterArgs,
    GaussianBlurArgs,
    LocalViewArgs,
    MethodCard,
    MethodConfig,
    MultiCropTransformArgs,
    RandomFlipArgs,
    RandomResizeArgs,
    Requires,
    SolarizeArgs,
    at_least,
    hidden_dim,
    output_dim,
    paper_adamw,
    zero_to_one,
)
from lightly_core.config.options.short_runs import SmallRecipe


def equal_views(*, num_global: int) -> MultiCropTransformArgs:
    """Return global and six local views, all with the same changes of colour.

    Args:
        num_global: Number of global views.
    """
    blur = GaussianBlurArgs(prob=0.5, sigmas=(0.1, 2.0))
    return MultiCropTransformArgs(
        num_views=num_global,
        random_resize=RandomResizeArgs(min_scale=0.3, max_scale=1.0),
        random_flip=RandomFlipArgs(horizontal_prob=0.5, vertical_prob=0.0),
        color_jitter=ColorJitterArgs(
            prob=0.8, strength=0.5, brightness=0.8, contrast=0.8, saturation=0.4, hue=0.2
        ),
        random_gray_scale=0.2,
        gaussian_blur=blur,
        solarize=SolarizeArgs(prob=0.2, threshold=0.5),
        local_view=LocalViewArgs(
            num_views=6,
            view_size=96,  # 98 in the paper, whose patches have 14 pixels
            random_resize=RandomResizeArgs(min_scale=0.05, max_scale=0.3),
            gaussian_blur=blur,
        ),
    )


@define(frozen=True, kw_only=True)
class LeJEPAConfig(MethodConfig):
    """Options of LeJEPA. The defaults are meant for ImageNet and vision transformers."""

    shardable = True

    card = MethodCard(
        paper="Balestriero and LeCun 2025",
        arxiv="2511.08544",
        use="one number to tune: no teacher, no queue, no predictor",
    )
    requires = Requires(global_views=at_least(2), local_views=True, images=2)
    metrics = ("train_loss/prediction", "train_loss/sigreg")
    views = equal_views(num_global=2)
    optimizers = {
        # For transformers; the paper's weight decay of ResNets is 5e-4.
        "adamw": paper_adamw(5e-4, 256, weight_decay=0.05, warmup_epochs=1),
    }
    # 20 epochs of ImageNet at the batch of 256 for which the learning rate is meant.
    target_steps = 100_000
    small = SmallRecipe(method_args={"hidden_dim": 512, "num_slices": 256})

    regularization_weight: float = field(
        default=0.05,
        validator=zero_to_one,
        metadata={
            "help": "weight of SIGReg, which prevents a collapse; the rest to 1 is the weight of "
            "views of an image being alike; the authors use 0.02 to 0.05",
            "aliases": ("lambda_param",),
        },
    )
    num_slices: int = field(
        default=1024,
        validator=ge(1),
        metadata={"help": "random directions that are tested in a step; 256 are enough for less"},
    )
    hidden_dim: int = hidden_dim(2048)
    output_dim: int = output_dim(64, note="; 16 to 64")
    activation: Literal["relu", "gelu"] = field(
        default="relu", metadata={"help": "what follows the projector's batch norms"}
    )
