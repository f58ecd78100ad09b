"""Options of a sweep: a search over settings of a row of a suite."""

from __future__ import annotations

import math
from typing import Any, Literal

from attrs import Attribute, define, field
from attrs.validators import ge, optional

from lightly_core.config.options.checks import auto_or, finite, not_empty, positive

#: Trials of a search that is not a grid, where the sweep sets no number.
DEFAULT_TRIALS = 20


@define(frozen=True, kw_only=True)
class RangeArgs:
    """A range of numbers. Both ends belong to it."""

    low: int | float = field(validator=finite, metadata={"help": "smallest value"})
    high: int | float = field(validator=finite, metadata={"help": "largest value"})
    log: bool = field(
        default=False, metadata={"help": "whether factors count, and not differences"}
    )
    step: int | float | None = field(
        default=None,
        validator=optional(positive),
        metadata={"help": "difference of two neighbouring values; None: 1 for whole numbers"},
    )

    def __attrs_post_init__(self) -> None:
        """Refuse ends and steps that contradict each other."""
        if not self.low < self.high:
            raise ValueError(f"'low' must be below 'high', got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"'low' must be > 0 with log = true, got {self.low}")
        if self.step is None:
            return
        if self.log:
            raise ValueError("give either 'log' or 'step'")
        count = (self.high - self.low) / self.step
        if not math.isclose(count, round(count), rel_tol=1e-9):
            last = self.low + math.floor(count) * self.step
            raise ValueError(
                f"'high' must be some steps above 'low', got {self.high}; the last value is "
                f"{last:.6g}"
            )


def _names_settings(instance: object, attribute: Attribute[Any], value: dict[str, Any]) -> None:
    if not value:
        raise ValueError(
            "'space' must name a setting, for example "
            '"optim_args.lr" = { low = 1e-4, high = 1.0, log = true }'
        )


@define(frozen=True, kw_only=True)
class SweepArgs:
    """A search over settings of a row. Each trial is the row with other values."""

    space: dict[str, Any] = field(
        validator=_names_settings,
        metadata={
            "help": "values of settings of `lightly run`, by name: a list, or a range "
            "{low, high, log, step}"
        },
    )
    metric: str = field(
        default="knn/top1",
        validator=not_empty,
        metadata={"help": "metric of the run that ranks the trials, by its last value"},
    )
    mode: Literal["auto", "min", "max"] = field(
        default="auto",
        metadata={
            "help": "whether a small or a large `metric` is better; auto: large for accuracies, "
            "agreements and ranks, small for all others"
        },
    )
    trials: int | Literal["auto"] = field(
        default="auto",
        validator=auto_or(ge(1)),
        metadata={
            "help": f"number of trials; auto: all combinations of a grid, else {DEFAULT_TRIALS}"
        },
    )
    sampler: Literal["auto", "tpe", "random", "grid"] = field(
        default="auto",
        metadata={
            "help": "how values are chosen: tpe (from the results of earlier trials), random, grid "
            "(all combinations); auto: grid if there are only lists, else tpe"
        },
    )
    pruner: Literal["median", "halving", "none"] = field(
        default="median",
        metadata={
            "help": "which trials are stopped early: those below the median of the finished ones, "
            "those not in the best third (successive halving), none"
        },
    )
    startup_trials: int = field(
        default=5,
        validator=ge(0),
        metadata={"help": "trials that must have finished before one is stopped early"},
    )
    warmup_epochs: int = field(
        default=1,
        validator=ge(1),
        metadata={"help": "epochs of a trial before it may be stopped early"},
    )
    trials_at_once: int = field(
        default=1,
        validator=ge(1),
        metadata={
            "help": "trials that run at the same time, if the launcher allows it; above 1 the "
            "choice of values depends on which trial ends first"
        },
    )
    seed: int = field(default=0, validator=ge(0), metadata={"help": "seed of the choice of values"})
