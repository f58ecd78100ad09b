"""Options of the methods with hidden patches: iBOT, DINOv2, DINOv3."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from attrs import define, evolve, field
from attrs.validators import ge

from lightly_core.config.checks import above_zero_to_one, auto_or, not_negative, share
from lightly_core.config.method import MethodCard, RunFacts
from lightly_core.config.optim import AdamWArgs, OptimizerArgs
from lightly_core.config.transform import TransformArgs
from lightly_dino.config import (
    PrototypeConfig,
    factor_of_embedding,
    momentum_at_start,
    multi_crop,
    ratio_of_blocks,
)

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing only since Python 3.11

#: Share of the run that is behind when Gram anchoring begins, see `DINOv3Config`.
_GRAM_START = 0.4


@define(frozen=True, kw_only=True)
class MaskArgs:
    """Which patches of the student's global views are hidden, in blocks."""

    probability: float = field(
        default=0.5, validator=share, metadata={"help": "how often a view is masked at all"}
    )
    min_ratio: float = field(
        default=0.1,
        validator=share,
        metadata={"help": "smallest share of hidden patches in a masked view"},
    )
    max_ratio: float = field(
        default=0.5,
        validator=above_zero_to_one,
        metadata={"help": "largest share of hidden patches in a masked view"},
    )
    smallest_block: int | None = field(
        default=4,
        metadata={
            "help": "least area of a block in patches; None: (shorter side // 3) ** 2, which is 16 "
            "for 14 x 14 patches"
        },
    )

    @smallest_block.validator
    def _not_empty(self, attribute: object, value: int | None) -> None:
        if value is not None and value < 1:
            raise ValueError(f"'smallest_block' must be >= 1 or None, got {value}")

    def __attrs_post_init__(self) -> None:
        """Refuse a range that is turned around."""
        if self.min_ratio > self.max_ratio:
            raise ValueError(
                f"expected min_ratio <= max_ratio, got {self.min_ratio} and {self.max_ratio}"
            )


@define(frozen=True, kw_only=True)
class IBOTConfig(PrototypeConfig):
    """Options of iBOT (https://arxiv.org/abs/2111.07832)."""

    metrics: ClassVar[tuple[str, ...] | None] = (
        "train_loss/dino",
        "train_loss/ibot",
        "train_loss/anchor",
        "teacher/entropy",
        "teacher/kl",
        "schedule/teacher_temp",
        "schedule/teacher_momentum",
    )
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Zhou et al. 2021",
        arxiv="2111.07832",
        needs="patch tokens",
        teacher="average",
        memory="two centres",
        use="features of whole images and of patches",
    )

    output_dim: int | Literal["auto"] = field(
        default=8192,
        validator=auto_or(ge(1)),
        metadata={"help": "number of prototypes, of classes and patches alike"},
    )
    dino_loss_weight: float = field(
        default=1.0, validator=not_negative, metadata={"help": "weight of what views predict"}
    )
    ibot_loss_weight: float = field(
        default=1.0, validator=not_negative, metadata={"help": "weight of what patches predict"}
    )
    # iBOT: (min(H, W) // 3) ** 2 in loader.py. DINOv2 and DINOv3: 4 in their masking.py.
    mask: MaskArgs = field(
        default=MaskArgs(smallest_block=None), metadata={"help": "which patches are hidden"}
    )

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return two global views and ten local ones."""
        return multi_crop(scale=0.25, num_local=10, local_size=96)


@define(frozen=True, kw_only=True)
class DINOv2Config(IBOTConfig):
    """Options of DINOv2 (https://arxiv.org/abs/2304.07193), the short run on ImageNet."""

    metrics: ClassVar[tuple[str, ...] | None] = (
        "train_loss/dino",
        "train_loss/ibot",
        "train_loss/koleo",
        "train_loss/anchor",
        "teacher/entropy",
        "teacher/kl",
        "schedule/teacher_temp",
        "schedule/teacher_momentum",
    )
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Oquab et al. 2023",
        arxiv="2304.07193",
        needs="patch tokens",
        teacher="average",
        memory="centres",
        use="to go on from DINOv2's weights; large sets",
    )

    output_dim: int | Literal["auto"] = field(
        default="auto",
        validator=auto_or(ge(1)),
        metadata={
            "help": "number of prototypes; auto: from 1024 for 20,000 images to 65536 for 500,000"
        },
    )
    mask: MaskArgs = field(default=MaskArgs(), metadata={"help": "which patches are hidden"})
    ibot_separate_head: bool = field(
        default=False, metadata={"help": "give patches a head of their own, as large models have"}
    )
    ibot_bottleneck_dim: int = field(
        default=256,
        validator=ge(1),
        metadata={"help": "bottleneck_dim of that head"},
    )
    koleo_loss_weight: float = field(
        default=0.1,
        validator=not_negative,
        metadata={
            "help": "weight of spreading the images of a batch",
            "aliases": ("koleo_weight",),
        },
    )
    momentum_start: float | Literal["auto"] = momentum_at_start(0.992)
    layer_decay: float = ratio_of_blocks(0.9)
    patch_embed_lr_factor: float = factor_of_embedding(0.2)

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return two global views and eight local ones."""
        return multi_crop(scale=0.32, num_local=8, local_size=98)

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return learning rate and decay for the optimizer called `name`."""
        if name == "adamw":
            return AdamWArgs(
                lr=4e-3,
                weight_decay=0.04,
                weight_decay_end=0.4,
                lr_scale_method="sqrt",
                reference_batch_size=1024,
                final_lr_fraction=0.00025,
            )
        return super().default_optimizer(name)


@define(frozen=True, kw_only=True)
class DINOv31Config(DINOv2Config):
    """Adds patch-kernel alignment (https://arxiv.org/abs/2509.05606)."""

    metrics: ClassVar[tuple[str, ...] | None] = (
        "train_loss/dino",
        "train_loss/ibot",
        "train_loss/koleo",
        "train_loss/paka",
        "train_loss/anchor",
        "teacher/entropy",
        "teacher/kl",
        "schedule/teacher_temp",
        "schedule/teacher_momentum",
    )
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Yeo et al. 2025",
        arxiv="2509.05606",
        needs="patch tokens",
        teacher="average",
        memory="centres",
        use="better patches of a network that is trained already",
    )

    paka_weight: float = field(
        default=1.0,
        validator=not_negative,
        metadata={"help": "weight of aligning how patches resemble each other"},
    )
    paka_start_step: int = field(
        default=0, validator=ge(0), metadata={"help": "step in which it begins"}
    )
    paka_num_local: int = field(
        default=8,
        validator=ge(1),
        metadata={"help": "crops of an image for it, shared by the global views"},
    )
    paka_grid: int = field(
        default=7, validator=ge(2), metadata={"help": "side of such a crop in patches"}
    )


@define(frozen=True, kw_only=True)
class DINOv3Config(DINOv2Config):
    """Options of DINOv3 (https://arxiv.org/abs/2508.10104), at the size of its ImageNet run."""

    metrics: ClassVar[tuple[str, ...] | None] = (
        "train_loss/dino",
        "train_loss/ibot",
        "train_loss/koleo",
        "train_loss/gram",
        "train_loss/anchor",
        "teacher/entropy",
        "teacher/kl",
        "schedule/teacher_temp",
        "schedule/teacher_momentum",
    )
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Siméoni et al. 2025",
        arxiv="2508.10104",
        needs="patch tokens",
        teacher="average",
        memory="Gram teacher",
        use="long runs whose patches must stay good",
    )

    centering: Literal["softmax", "sinkhorn", "sinkhorn_knopp"] = field(
        default="sinkhorn",
        metadata={
            "help": "what keeps the teacher from one class for all: softmax with a moving centre, "
            "or sinkhorn(_knopp) within the batch",
            "aliases": ("center_method",),
        },
    )
    ibot_separate_head: bool = field(
        default=True, metadata={"help": "give patches a head of their own"}
    )
    local_loss_weight: float = field(
        default=1.0,
        validator=not_negative,
        metadata={
            "help": "weight of what local views predict beside that of global ones; 0.5 in the "
            "paper's refinement"
        },
    )
    # dinov3_vit7b16_gram_anchor.yaml, the released run with Gram anchoring, ends its schedule at 2.
    # The 1.0 of ssl_default_config.yaml stands beside use_loss: false.
    gram_loss_weight: float = field(
        default=2.0,
        validator=not_negative,
        metadata={"help": "weight of keeping the similarities of patches"},
    )
    gram_start_step: int | Literal["auto"] = field(
        default="auto",
        validator=auto_or(ge(0)),
        metadata={
            "help": "step in which the teacher is copied as the anchor and the loss begins; auto: "
            "after 40 % of the run"
        },
    )
    gram_refresh_steps: int = field(
        default=10_000, validator=ge(1), metadata={"help": "steps between two copies"}
    )
    gram_max_refreshes: int = field(
        default=3, validator=ge(0), metadata={"help": "copies after the first one, at most"}
    )

    def resolve(self, facts: RunFacts) -> Self:
        """Replace the beginning of Gram anchoring, and what DINOv2 replaces."""
        start = self.gram_start_step
        if start == "auto":
            start = round(_GRAM_START * facts.total_steps)
        return evolve(super().resolve(facts), gram_start_step=start)

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return two global views of 256 pixels and eight local ones of 112."""
        # dinov3_vit7b16_pretrain.yaml; vitl_im1k_lin834.yaml has 224 and 96.
        return multi_crop(scale=0.32, num_local=8, local_size=112, size=256)

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return learning rate and decay for the optimizer called `name`."""
        args = super().default_optimizer(name)
        if name == "adamw":
            # 1e-3 and min_lr=1e-6 in vitl_im1k_lin834.yaml, at batch 1024 by the square root.
            return evolve(args, lr=1e-3, final_lr_fraction=0.001)
        return args
