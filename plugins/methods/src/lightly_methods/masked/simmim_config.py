"""Options of SimMIM (Xie et al. 2022, https://arxiv.org/abs/2111.09886)."""

from __future__ import annotations

from typing import ClassVar

from attrs import define, field
from attrs.validators import and_, ge, gt, lt, optional

from lightly_core.config.method import MethodCard, MethodConfig
from lightly_core.config.optim import OptimizerArgs
from lightly_core.config.recipes import paper_adamw
from lightly_core.config.requires import Requires, exactly
from lightly_core.config.transform import TransformArgs
from lightly_methods.masked.options import crop_and_flip


@define(frozen=True, kw_only=True)
class SimMIMConfig(MethodConfig):
    """Options of SimMIM; the defaults are the paper's for ViT-B."""

    metrics: ClassVar[tuple[str, ...] | None] = ()
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Xie et al. 2021",
        arxiv="2111.09886",
        needs="patch tokens",
        use="fine-tuning",
    )

    # 160 epochs of ImageNet at the paper's batch of 2048.
    target_steps: ClassVar[int] = 100_000
    requires: ClassVar[Requires] = Requires(global_views=exactly(1), whole_patches=True)
    spread_is_free: ClassVar[bool] = True
    gradient_clip_val: ClassVar[float | None] = 5.0

    mask_ratio: float = field(
        default=0.6,
        validator=and_(gt(0), lt(1)),
        metadata={"help": "share of the cells that are hidden"},
    )
    mask_cell: int | None = field(
        default=None,
        validator=optional(ge(1)),
        metadata={
            "help": "side in pixels of the cells that are hidden as a whole, a multiple of the "
            "patch; None: a seventh of the image, which is the paper's 32 for 224 pixels",
            "aliases": ("mask_patch_size",),
        },
    )

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return large crops and mirroring."""
        return crop_and_flip(0.67)

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return learning rate and decay for the optimizer called `name`."""
        if name == "adamw":  # 4e-4 is the paper's 1e-4 for 512 images at its batch of 2048
            return paper_adamw(4e-4, 2048, weight_decay=0.05, warmup_epochs=10)
        return super().default_optimizer(name)
