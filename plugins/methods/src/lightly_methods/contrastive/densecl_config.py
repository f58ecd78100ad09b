"""Options of DenseCL (Wang et al. 2021, https://arxiv.org/abs/2011.09157)."""

from __future__ import annotations

from attrs import define, field
from attrs.validators import ge

from lightly_core.config.method import MethodCard, zero_to_one
from lightly_methods.contrastive.mocov2_config import MoCoV2Config


@define(frozen=True, kw_only=True)
class DenseCLConfig(MoCoV2Config):
    """Options of DenseCL: those of MoCo v2, and those of the positions."""

    metrics = (
        "contrast/top1",
        "contrast/dense_top1",
        "train_loss/image",
        "train_loss/dense",
    )
    shardable = True

    card = MethodCard(
        paper="Wang et al. 2021",
        arxiv="2011.09157",
        needs="feature maps",
        teacher="average",
        memory="two queues",
        use="detection and segmentation with convolutional networks",
    )

    dense_weight: float = field(
        default=0.5,
        validator=zero_to_one,
        metadata={
            "help": "weight of the loss of positions, in [0, 1]; the loss of whole images has the "
            "rest of 1"
        },
    )
    grid_size: int = field(
        default=7,
        validator=ge(2),
        metadata={
            "help": "most positions a side that are compared; larger feature maps are averaged "
            "down, to save memory"
        },
    )
