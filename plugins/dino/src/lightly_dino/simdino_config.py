"""Options of SimDINO (Wu et al. 2025, https://arxiv.org/abs/2502.10385)."""

from __future__ import annotations

from typing import ClassVar, Literal

from attrs import define, field
from attrs.validators import ge

from lightly_core.config.method import MethodCard, hidden_dim, loss_weight, num_layers, positive
from lightly_dino.base_config import SelfDistillationConfig, multi_crop


@define(frozen=True, kw_only=True)
class SimDINOConfig(SelfDistillationConfig):
    """Options of SimDINO. It has no prototypes, temperatures or centre."""

    shardable = True

    card = MethodCard(
        paper="Wu et al. 2025",
        arxiv="2502.10385",
        teacher="average",
        use="as DINO, with little to set",
    )
    metrics: ClassVar[tuple[str, ...]] = (
        "train_loss/distance",
        "train_loss/coding_rate",
        "train_loss/anchor",
        "teacher/cosine",
    )
    # The README's command for main_dino.py and the defaults of its arguments; the same crops are in
    # simdinov2/configs/simdino_config.yaml.
    views = multi_crop(scale=0.4, num_local=10, local_size=96)

    hidden_dim: int = hidden_dim(2048, "head")
    num_layers: int = num_layers(3, "head")
    output_dim: int = field(
        default=256,
        validator=ge(1),
        metadata={
            "help": "dimension of the space in which views are compared",
            "aliases": ("bottleneck_dim",),
        },
    )
    batch_norm: bool = field(
        default=False, metadata={"help": "batch norms in the head; the paper has none"}
    )
    coding_rate_weight: float = loss_weight(
        1.0, "the coding rate, a factor on the paper's (D + N) / (D * N)"
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
            "help": "embeddings whose coding rate is taken: mean of student's and teacher's, as in "
            "the released code, or student's, as in the paper"
        },
    )
