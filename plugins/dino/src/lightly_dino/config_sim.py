"""Options of SimDINO and SimDINOv2 (Wu et al. 2025, https://arxiv.org/abs/2502.10385)."""

from __future__ import annotations

from typing import ClassVar, Literal

from attrs import define, field
from attrs.validators import ge

from lightly_core.config.checks import not_negative, positive
from lightly_core.config.method import MethodCard
from lightly_core.config.optim import OptimizerArgs
from lightly_core.config.transform import TransformArgs
from lightly_dino.config import (
    SelfDistillationConfig,
    factor_of_embedding,
    head_layers,
    momentum_at_start,
    multi_crop,
    ratio_of_blocks,
)
from lightly_dino.config_tokens import DINOv2Config, MaskArgs


@define(frozen=True, kw_only=True)
class SimDINOConfig(SelfDistillationConfig):
    """No prototypes, no temperatures, no centre: little is left to set."""

    metrics: ClassVar[tuple[str, ...] | None] = (
        "train_loss/distance",
        "train_loss/coding_rate",
        "train_loss/anchor",
        "teacher/cosine",
        "schedule/teacher_momentum",
    )
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Wu et al. 2025",
        arxiv="2502.10385",
        teacher="average",
        use="as DINO, with little to set",
    )

    hidden_dim: int = field(
        default=2048, validator=ge(1), metadata={"help": "width of the head's hidden layers"}
    )
    num_layers: int = head_layers()
    output_dim: int = field(
        default=256,
        validator=ge(1),
        metadata={
            "help": "width in which views are compared",
            "aliases": ("bottleneck_dim",),
        },
    )
    batch_norm: bool = field(
        default=False, metadata={"help": "batch norms in the head; the paper has none"}
    )
    coding_rate_weight: float = field(
        default=1.0,
        validator=not_negative,
        metadata={"help": "weight of spreading the images, beside the paper's (D + N) / (D * N)"},
    )
    coding_rate_eps: float = field(
        default=0.05,
        validator=positive,
        metadata={"help": "squared precision of the coding rate; smaller pulls harder"},
    )
    # Released: expa_type=1, the default of main_dino.py and of simdino_config.yaml.
    coding_rate_of: Literal["mean", "student"] = field(
        default="mean",
        metadata={
            "help": "embeddings that are spread: mean of student's and teacher's, as in the "
            "released code, or student's, as in the paper"
        },
    )

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return two global views and ten local ones."""
        # The README's command for main_dino.py and the defaults of its arguments.
        return multi_crop(scale=0.4, num_local=10, local_size=96)


@define(frozen=True, kw_only=True)
class SimDINOv2Config(SimDINOConfig):
    """Adds the hidden patches."""

    metrics: ClassVar[tuple[str, ...] | None] = (
        "train_loss/distance",
        "train_loss/patch_distance",
        "train_loss/coding_rate",
        "train_loss/anchor",
        "teacher/cosine",
        "schedule/teacher_momentum",
    )
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Wu et al. 2025",
        arxiv="2502.10385",
        needs="patch tokens",
        teacher="average",
        use="as DINOv2, with little to set",
    )

    patch_loss_weight: float = field(
        default=1.0, validator=not_negative, metadata={"help": "weight of hidden patches"}
    )
    mask: MaskArgs = field(default=MaskArgs(), metadata={"help": "which patches are hidden"})
    momentum_start: float | Literal["auto"] = momentum_at_start(0.9)
    layer_decay: float = ratio_of_blocks(0.9)
    patch_embed_lr_factor: float = factor_of_embedding(0.2)

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return two global views and ten local ones."""
        # crops in simdinov2/configs/simdino_config.yaml; its patches have 16 pixels.
        return multi_crop(scale=0.4, num_local=10, local_size=96)

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return the values of DINOv2."""
        if name == "adamw":
            return DINOv2Config.default_optimizer(name)
        return super().default_optimizer(name)
