"""Options of INTL (Weng et al. 2024, https://arxiv.org/abs/2305.16789)."""

from __future__ import annotations

from typing import Literal

from attrs import define, field
from attrs.validators import ge, optional

from lightly_core.config.method import (
    MethodCard,
    MethodConfig,
    Requires,
    SGDArgs,
    at_least,
    byol_views,
    hidden_dim,
    not_negative,
    num_layers,
    output_dim,
    transformer_adamw,
)

Whitening = Literal["images", "channels"]


@define(frozen=True, kw_only=True)
class INTLConfig(MethodConfig):
    """Options of INTL. The defaults are the authors' for ResNet-50."""

    shardable = True

    card = MethodCard(
        paper="Weng et al. 2024",
        arxiv="2305.16789",
        use="batches of 256 and less, with one network and plain SGD",
    )
    requires = Requires(global_views=at_least(2), local_views=True, images_per_process=2)
    metrics = ("train_loss/distance", "train_loss/trace")
    views = byol_views()
    optimizer = "sgd"
    optimizers = {
        "sgd": SGDArgs(
            lr=0.5,
            momentum=0.9,
            weight_decay=1e-5,
            lr_scale_method="linear",
            reference_batch_size=256,
            warmup_epochs=2,
        ),
        "adamw": transformer_adamw(),
    }
    # 25 epochs of ImageNet at the authors' batch of 256; they train for 100 and more.
    target_steps = 125_000

    num_layers: int = num_layers(3)
    hidden_dim: int = hidden_dim(8192)
    output_dim: int = output_dim(8192)
    whitening: Whitening = field(
        default="images",
        metadata={
            "help": "what is made uncorrelated: the images of a batch, for which output_dim is to "
            "be above the batch, as in the authors' code; or the channels, the other way around"
        },
    )
    num_iterations: int = field(
        default=4,
        validator=ge(1),
        metadata={"help": "Newton's iterations of the whitening", "aliases": ("iters",)},
    )
    trace_weight: float | None = field(
        default=None,
        validator=optional(not_negative),
        metadata={
            "help": "weight of the term that evens out the spectrum; None: the paper's "
            "0.01 * (log2(n) - 3), n the images of a batch or the channels"
        },
    )

    def __attrs_post_init__(self) -> None:
        """Refuse an embedding of one dimension."""
        if self.output_dim < 2:
            raise ValueError(
                f"'output_dim' must be >= 2, got {self.output_dim}: one channel has no variance"
            )
