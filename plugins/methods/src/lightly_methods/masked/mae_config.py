"""Options of MAE (He et al. 2022, https://arxiv.org/abs/2111.06377)."""

from __future__ import annotations

from attrs import define, field
from attrs.validators import ge

from lightly_core.config.method import MethodCard, MethodConfig, Requires, exactly, paper_adamw
from lightly_methods.masked.options import check_heads, crop_and_flip, mask_ratio


@define(frozen=True, kw_only=True)
class MAEConfig(MethodConfig):
    """Options of MAE. The defaults are the paper's."""

    shardable = True

    card = MethodCard(
        paper="He et al. 2021",
        arxiv="2111.06377",
        use="fine-tuning; cheap steps with large networks, whose decoder is relatively small",
    )
    requires = Requires(global_views=exactly(1), whole_patches=True)
    metrics = ()
    views = crop_and_flip(0.2)  # masks are augmentation enough
    optimizers = {
        # 2.4e-3 is the paper's 1.5e-4 for 256 images at its batch of 4096.
        "adamw": paper_adamw(2.4e-3, 4096, weight_decay=0.05, betas=(0.9, 0.95), warmup_epochs=40),
    }
    target_steps = 100_000  # 320 epochs of ImageNet at the paper's batch of 4096
    spread_is_free = True

    mask_ratio: float = mask_ratio(0.75)
    decoder_dim: int = field(
        default=512,
        validator=ge(4),
        metadata={"help": "dimension of the decoder, which is dropped after training"},
    )
    decoder_depth: int = field(
        default=8, validator=ge(1), metadata={"help": "blocks of the decoder"}
    )
    decoder_num_heads: int = field(
        default=16, validator=ge(1), metadata={"help": "attention heads of the decoder"}
    )
    normalize_pixels: bool = field(
        default=True,
        metadata={
            "help": "predict pixels with mean 0 and variance 1 in each patch, which gives better "
            "features; off: unchanged pixels, which gives better reconstructions",
            "aliases": ("norm_pix_loss",),
        },
    )

    def __attrs_post_init__(self) -> None:
        """Refuse a decoder whose dimension does not fit."""
        check_heads("decoder_dim", self.decoder_dim, "decoder_num_heads", self.decoder_num_heads)
