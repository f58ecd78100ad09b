"""Options of VISReg (Wu et al. 2026, https://arxiv.org/abs/2606.02572)."""

from __future__ import annotations

from typing import Literal

from attrs import define, field
from attrs.validators import ge

from lightly_core.config.method import (
    MethodCard,
    MethodConfig,
    Requires,
    at_least,
    hidden_dim,
    loss_weight,
    output_dim,
    paper_adamw,
    zero_to_one,
)
from lightly_methods.decorrelation.lejepa_config import equal_views


@define(frozen=True, kw_only=True)
class VISRegConfig(MethodConfig):
    """Options of VISReg. The defaults are the paper's for ImageNet."""

    shardable = True

    card = MethodCard(
        paper="Wu et al. 2026",
        arxiv="2606.02572",
        use="as lejepa, with stronger gradients where embeddings collapse; long-tailed images",
    )
    requires = Requires(global_views=at_least(2), local_views=True, images=2)
    metrics = ("train_loss/prediction", "train_loss/scale", "train_loss/shape", "train_loss/centre")
    views = equal_views(num_global=4)
    optimizers = {
        # The published command has 16 images on each of 8 GPUs.
        "adamw": paper_adamw(9e-4, 128, weight_decay=0.05, warmup_epochs=5),
    }
    target_steps = 100_000  # as LeJEPA
    gradient_clip_val = 1.0

    hidden_dim: int = hidden_dim(2048)
    regularization_weight: float = field(
        default=0.9,
        validator=zero_to_one,
        metadata={
            "help": "weight of the terms that prevent a collapse; the rest to 1 is the weight of "
            "views of an image being alike; the paper has 0.6 for small data",
            "aliases": ("lambda_param",),
        },
    )
    scale_weight: float = loss_weight(1.0, "the term that pulls standard deviations to 1")
    shape_weight: float = loss_weight(
        1.0, "the comparison with a normal distribution; more for long-tailed images"
    )
    centre_weight: float = loss_weight(1.0, "the term that pulls means to 0", "center_weight")
    num_slices: int = field(
        default=4096,
        validator=ge(1),
        metadata={"help": "random directions along which embeddings are sorted in a step"},
    )
    output_dim: int = output_dim(256)
    activation: Literal["relu", "gelu"] = field(
        default="gelu", metadata={"help": "what follows the projector's batch norms"}
    )
