"""Options of DINO (Caron et al. 2021, https://arxiv.org/abs/2104.14294)."""

from __future__ import annotations

from attrs import define

from lightly_core.config.method import MethodCard, SmallRecipe, short_adamw
from lightly_dino.base_config import PrototypeConfig


@define(frozen=True, kw_only=True)
class DINOConfig(PrototypeConfig):
    """Options of DINO; the defaults are the paper's for a million images, smaller sets get less."""

    shardable = True

    card = MethodCard(
        paper="Caron et al. 2021",
        arxiv="2104.14294",
        teacher="average",
        memory="centre",
        use="frozen features without labels; a safe choice on transformers",
    )
    metrics = ("train_loss/dino", "train_loss/anchor", "teacher/entropy", "teacher/kl")
    small = SmallRecipe(
        optimizers={"adamw": short_adamw(1e-3)},
        method_args={"hidden_dim": 512, "bottleneck_dim": 64},
    )
