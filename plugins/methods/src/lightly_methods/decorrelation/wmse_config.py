"""Options of W-MSE (Ermolov et al. 2021, https://arxiv.org/abs/2007.06346)."""

from __future__ import annotations

from attrs import define, evolve, field
from attrs.validators import ge, optional

from lightly_core.config.method import (
    AdamWArgs,
    MethodCard,
    MethodConfig,
    Requires,
    at_least,
    below_one,
    hidden_dim,
    moco_views,
    num_layers,
    output_dim,
)


@define(frozen=True, kw_only=True)
class WMSEConfig(MethodConfig):
    """Options of W-MSE. The defaults are the paper's, made so that 128 images are enough."""

    shardable = True

    card = MethodCard(
        paper="Ermolov et al. 2021",
        arxiv="2007.06346",
        use="small images; the projection must be narrower than the batch is large",
    )
    requires = Requires(global_views=at_least(2), local_views=True, images_per_process=2)
    metrics = ()
    views = evolve(moco_views(), random_gray_scale=0.1)  # the paper's are close to MoCo v2's
    optimizer = "adamw"
    optimizers = {
        "adamw": AdamWArgs(
            lr=2e-3,
            weight_decay=1e-6,
            lr_scale_method="sqrt",
            reference_batch_size=512,
            warmup_epochs=1,
        ),
    }
    # The paper's 100 epochs of ImageNet have 250,000 steps of 512 images.
    target_steps = 125_000

    hidden_dim: int = hidden_dim(1024)
    output_dim: int = output_dim(
        64,
        note="; the paper has 64 for CIFAR and 128 for larger images, with batches of 256 and more",
    )
    num_layers: int = num_layers(2)
    whitening_size: int | None = field(
        default=None,
        validator=optional(ge(2)),
        metadata={
            "help": "images that are whitened together, more than output_dim; None: the smallest "
            "part of the batch with twice output_dim",
            "aliases": ("w_size",),
        },
    )
    whitening_eps: float = field(
        default=1e-5,
        validator=below_one,
        metadata={
            "help": "fraction of the identity that is mixed into covariances; the paper has 0, "
            "which does not always have a root in single precision",
            "aliases": ("w_eps",),
        },
    )

    def needs_building(self) -> bool:
        """Return True: whether the batch can be divided for the whitening is found in `build`."""
        return True
