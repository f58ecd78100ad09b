"""Options of methods whose teacher is a moving average of the student. No torch here."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from attrs import define, evolve, field

from lightly_core.config.options.checks import auto_or, zero_to_one
from lightly_core.config.options.method import MethodConfig, RunFacts

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing only since Python 3.11

# The time constant of the EMA, 1 / (1 - momentum) steps, is this fraction of the run, within
# limits. With the papers' momentum, a run of a few hundred steps would hardly change the teacher.
_MEMORY_FRACTION = 0.02


def exported(
    default: Literal["teacher", "student"], note: str = ""
) -> Literal["teacher", "student"]:
    """Return the field ``export``; `note` is added to its help."""
    text = f"which network is exported and evaluated; the papers use the {default}"
    return field(default=default, metadata={"help": text + note})


@define(frozen=True, kw_only=True)
class TeacherConfig(MethodConfig):
    """Options of all methods whose teacher is an EMA of the student."""

    schedules: ClassVar[tuple[str, ...]] = ("teacher_momentum",)
    #: Momentum of the paper, which ``auto`` selects for long runs.
    paper_momentum: ClassVar[float] = 0.996
    #: Smallest momentum that ``auto`` selects, however short the run.
    least_momentum: ClassVar[float] = 0.9

    momentum_start: float | Literal["auto"] = field(
        default="auto",
        validator=auto_or(zero_to_one),
        metadata={
            "help": "momentum of the EMA teacher at the start; auto: the paper's, or less in runs "
            "of less than some ten thousand steps",
            "aliases": ("teacher_momentum",),
        },
    )
    momentum_end: float = field(
        default=1.0,
        validator=zero_to_one,
        metadata={"help": "momentum of the EMA teacher at the end of the run"},
    )
    export: Literal["teacher", "student"] = exported("teacher")

    def auto_momentum(self, facts: RunFacts) -> float:
        """Return the value of ``momentum_start="auto"`` in a run."""
        wanted = 1 - 1 / max(1.0, _MEMORY_FRACTION * facts.total_steps)
        return min(max(wanted, self.least_momentum), self.paper_momentum)

    def resolve(self, facts: RunFacts) -> Self:
        """Replace the momentum."""
        resolved = super().resolve(facts)
        if self.momentum_start != "auto":
            return resolved
        return evolve(resolved, momentum_start=self.auto_momentum(facts))
