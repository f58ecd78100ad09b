"""Options of DINOv2 with patch-kernel alignment (PaKA, https://arxiv.org/abs/2509.05606)."""

from __future__ import annotations

from attrs import define, field
from attrs.validators import ge

from lightly_core.config.method import MethodCard, loss_weight
from lightly_dino.dinov2_config import DINOv2Config


@define(frozen=True, kw_only=True)
class DINOv31Config(DINOv2Config):
    """Options of DINOv2 with patch-kernel alignment."""

    shardable = True

    card = MethodCard(
        paper="Yeo et al. 2025",
        arxiv="2509.05606",
        teacher="average",
        memory="centres",
        use="better patches of a network that is trained already",
    )
    metrics = (*DINOv2Config.metrics, "train_loss/paka")

    paka_weight: float = loss_weight(1.0, "patch-kernel alignment")
    paka_start_step: int = field(
        default=0, validator=ge(0), metadata={"help": "step in which the alignment begins"}
    )
    paka_num_local: int = field(
        default=8,
        validator=ge(1),
        metadata={"help": "crops of an image that are aligned, divided among its global views"},
    )
    paka_grid: int = field(
        default=7, validator=ge(2), metadata={"help": "side of such a crop in patches"}
    )
