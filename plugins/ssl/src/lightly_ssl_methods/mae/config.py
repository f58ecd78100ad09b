"""Options of MAE (He et al. 2022, https://arxiv.org/abs/2111.06377)."""

from __future__ import annotations

from typing import ClassVar

from attrs import define, field
from attrs.validators import and_, ge, gt, lt

from lightly_core.config.method import MethodCard, MethodConfig
from lightly_core.config.optim import OptimizerArgs
from lightly_core.config.requires import Requires, exactly
from lightly_core.config.transform import TransformArgs
from lightly_ssl_methods.common.options import check_heads, crop_and_flip, paper_adamw


@define(frozen=True, kw_only=True)
class MAEConfig(MethodConfig):
    """Options of MAE; the defaults are the paper's."""

    metrics: ClassVar[tuple[str, ...] | None] = ()
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="He et al. 2021",
        arxiv="2111.06377",
        needs="patch tokens",
        use="fine-tuning; cheap steps with large networks, whose decoder is small beside them",
    )

    # 320 epochs of ImageNet at the paper's batch of 4096.
    target_steps: ClassVar[int] = 100_000
    requires: ClassVar[Requires] = Requires(global_views=exactly(1), whole_patches=True)
    spread_is_free: ClassVar[bool] = True

    mask_ratio: float = field(
        default=0.75,
        validator=and_(gt(0), lt(1)),
        metadata={"help": "share of patches that are hidden, and that the backbone never sees"},
    )
    decoder_dim: int = field(
        default=512,
        validator=ge(4),
        metadata={"help": "width of the decoder, which is dropped after training"},
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
            "features; off: pixels as they are, which makes better pictures",
            "aliases": ("norm_pix_loss",),
        },
    )

    def __attrs_post_init__(self) -> None:
        """Refuse a decoder whose width does not fit."""
        check_heads("decoder_dim", self.decoder_dim, "decoder_num_heads", self.decoder_num_heads)

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return crops and mirroring: masks are augmentation enough."""
        return crop_and_flip(0.2)

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return learning rate and decay for the optimizer called `name`."""
        if name == "adamw":  # 2.4e-3 is the paper's 1.5e-4 for 256 images at its batch of 4096
            return paper_adamw(2.4e-3, 4096, weight_decay=0.05, betas=(0.9, 0.95), warmup_epochs=40)
        return super().default_optimizer(name)
