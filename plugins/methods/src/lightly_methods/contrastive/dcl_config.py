"""Options of DCL and DCLW (Yeh et al. 2022, https://arxiv.org/abs/2110.06848)."""

from __future__ import annotations

from attrs import define, field

from lightly_core.config.method import MethodCard, positive
from lightly_methods.contrastive.simclr_config import SimCLRConfig


@define(frozen=True, kw_only=True)
class DCLConfig(SimCLRConfig):
    """Options of DCL: those of SimCLR."""

    shardable = True

    card = MethodCard(
        paper="Yeh et al. 2022",
        arxiv="2110.06848",
        use="simclr with batches of 64 to 512",
    )


@define(frozen=True, kw_only=True)
class DCLWConfig(SimCLRConfig):
    """Options of DCLW: those of SimCLR, and how unequal the weights are."""

    shardable = True

    card = MethodCard(
        paper="Yeh et al. 2022",
        arxiv="2110.06848",
        use="dcl with more weight on views that look unlike",
    )

    sigma: float = field(
        default=0.5,
        validator=positive,
        metadata={"help": "temperature of the weights of the pairs; large: all the same, as dcl"},
    )
