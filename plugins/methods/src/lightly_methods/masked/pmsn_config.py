"""Options of PMSN (Assran et al. 2023, https://arxiv.org/abs/2210.07277)."""

from __future__ import annotations

from attrs import define, field

from lightly_core.config.method import MethodCard, not_negative
from lightly_methods.masked.msn_config import MSNConfig


@define(frozen=True, kw_only=True)
class PMSNConfig(MSNConfig):
    """Options of MSN, and the prior."""

    shardable = True

    card = MethodCard(
        paper="Assran et al. 2022",
        arxiv="2210.07277",
        teacher="average",
        memory="prototypes",
        use="as MSN, where classes are not equally frequent",
    )

    power_law_exponent: float = field(
        default=0.25,
        validator=not_negative,
        metadata={
            "help": "prototype k is to be used in proportion to 1 / k**exponent; larger for "
            "classes of more unequal size, 0: all equally"
        },
    )
