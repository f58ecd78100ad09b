"""Options of iBOT (Zhou et al. 2021, https://arxiv.org/abs/2111.07832)."""

from __future__ import annotations

from typing import ClassVar, Literal

from attrs import define, evolve, field

from lightly_core.config.method import MethodCard, loss_weight
from lightly_dino.base_config import MaskArgs, PrototypeConfig, multi_crop, num_prototypes


@define(frozen=True, kw_only=True)
class IBOTConfig(PrototypeConfig):
    """Options of iBOT: those of DINO, and the masks."""

    shardable = True

    card = MethodCard(
        paper="Zhou et al. 2021",
        arxiv="2111.07832",
        teacher="average",
        memory="two centres",
        use="features of whole images and of patches",
    )
    requires = evolve(PrototypeConfig.requires, whole_patches=True)
    metrics: ClassVar[tuple[str, ...]] = (
        "train_loss/dino",
        "train_loss/ibot",
        "train_loss/anchor",
        "teacher/entropy",
        "teacher/kl",
    )
    views = multi_crop(scale=0.25, num_local=10, local_size=96)

    output_dim: int | Literal["auto"] = num_prototypes(8192)
    dino_loss_weight: float = loss_weight(1.0, "the views' loss")
    ibot_loss_weight: float = loss_weight(1.0, "the masked patches' loss")
    # iBOT: (min(H, W) // 3) ** 2 in loader.py. DINOv2 and DINOv3: 4 in their masking.py.
    mask: MaskArgs = field(
        default=MaskArgs(smallest_block=None), metadata={"help": "which patches are masked"}
    )
