"""Options of SimMIM (Xie et al. 2022, https://arxiv.org/abs/2111.09886)."""

from __future__ import annotations

from attrs import define, field
from attrs.validators import ge, optional

from lightly_core.config.method import MethodCard, MethodConfig, Requires, exactly, paper_adamw
from lightly_methods.masked.options import crop_and_flip, mask_ratio


@define(frozen=True, kw_only=True)
class SimMIMConfig(MethodConfig):
    """Options of SimMIM. The defaults are the paper's for ViT-B."""

    shardable = True

    card = MethodCard(paper="Xie et al. 2021", arxiv="2111.09886", use="fine-tuning")
    requires = Requires(global_views=exactly(1), whole_patches=True)
    metrics = ()
    views = crop_and_flip(0.67)
    optimizers = {
        # 4e-4 is the paper's 1e-4 for 512 images at its batch of 2048.
        "adamw": paper_adamw(4e-4, 2048, weight_decay=0.05, warmup_epochs=10),
    }
    target_steps = 100_000  # 160 epochs of ImageNet at the paper's batch of 2048
    spread_is_free = True
    gradient_clip_val = 5.0

    mask_ratio: float = mask_ratio(0.6, "cells")
    mask_cell: int | None = field(
        default=None,
        validator=optional(ge(1)),
        metadata={
            "help": "side in pixels of the cells that are hidden as a whole, a multiple of the "
            "patch; None: a seventh of the image, which is the paper's 32 for 224 pixels",
            "aliases": ("mask_patch_size",),
        },
    )
