"""Options of DINOv3 (Siméoni et al. 2025, https://arxiv.org/abs/2508.10104)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import define, evolve, field
from attrs.validators import ge

from lightly_core.config.method import AdamWArgs, MethodCard, RunFacts, auto_or, loss_weight
from lightly_dino.base_config import centering, multi_crop
from lightly_dino.dinov2_config import DINOv2Config

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing only since Python 3.11

#: Fraction of the run before Gram anchoring begins, see `DINOv3Config`.
_GRAM_START = 0.4


@define(frozen=True, kw_only=True)
class DINOv3Config(DINOv2Config):
    """Options of DINOv3, at the size of its ImageNet run."""

    shardable = True

    card = MethodCard(
        paper="Siméoni et al. 2025",
        arxiv="2508.10104",
        teacher="average",
        memory="Gram teacher",
        use="long runs whose patches must stay good",
    )
    metrics = (*DINOv2Config.metrics, "train_loss/gram")
    # dinov3_vit7b16_pretrain.yaml; vitl_im1k_lin834.yaml has 224 and 96.
    views = multi_crop(scale=0.32, num_local=8, local_size=112, size=256)
    optimizers = {
        # 1e-3 and min_lr=1e-6 in vitl_im1k_lin834.yaml, at batch 1024 by the square root.
        "adamw": AdamWArgs(
            lr=1e-3,
            weight_decay=0.04,
            weight_decay_end=0.4,
            lr_scale_method="sqrt",
            reference_batch_size=1024,
            final_lr_fraction=0.001,
        ),
    }

    centering: Literal["softmax", "sinkhorn", "sinkhorn_knopp"] = centering("sinkhorn")
    ibot_separate_head: bool = field(
        default=True, metadata={"help": "give patches a head of their own"}
    )
    local_loss_weight: float = loss_weight(
        1.0, "the local views relative to the global ones; 0.5 in the paper's refinement"
    )
    # dinov3_vit7b16_gram_anchor.yaml, the released run with Gram anchoring, ends its schedule at 2.
    # The 1.0 of ssl_default_config.yaml has no effect there, since use_loss is false.
    gram_loss_weight: float = loss_weight(2.0, "Gram anchoring")
    gram_start_step: int | Literal["auto"] = field(
        default="auto",
        validator=auto_or(ge(0)),
        metadata={
            "help": "step in which the teacher is copied as the Gram teacher and the loss begins; "
            "auto: after 40 % of the run"
        },
    )
    gram_refresh_steps: int = field(
        default=10_000, validator=ge(1), metadata={"help": "steps between two copies"}
    )
    gram_max_refreshes: int = field(
        default=3, validator=ge(0), metadata={"help": "largest number of copies after the first"}
    )

    def resolve(self, facts: RunFacts) -> Self:
        """Replace the beginning of Gram anchoring, and what DINOv2 replaces."""
        start = self.gram_start_step
        if start == "auto":
            start = round(_GRAM_START * facts.total_steps)
        return evolve(super().resolve(facts), gram_start_step=start)
