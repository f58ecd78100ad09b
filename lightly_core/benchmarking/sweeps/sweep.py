"""A checked sweep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import attrs
from attrs import define

from lightly_core.benchmarking.sweeps.proposal import propose
from lightly_core.benchmarking.sweeps.space import Space, Values
from lightly_core.benchmarking.sweeps.trial import Trial
from lightly_core.config.options.fields import plain
from lightly_core.config.options.sweep import SweepArgs

if TYPE_CHECKING:
    from lightly_core.benchmarking.suite import Row


@define(frozen=True, kw_only=True)
class Sweep:
    """A search over settings of a row.

    Attributes:
        args: Its options.
        space: The settings and their values.
        sampler: How values are chosen, never "auto".
        num_trials: Number of trials.
        maximize: Whether larger values of the metric are better.
        probes: The row with each value that was checked, the first value of each setting first.
        make: Makes the row of a trial from its name and its values. It raises a ConfigError if
            the values do not fit together.
    """

    args: SweepArgs
    space: Space
    sampler: Literal["tpe", "random", "grid"]
    num_trials: int
    maximize: bool
    probes: tuple[Row, ...] = attrs.field(repr=False, eq=False)
    make: Callable[[str, Values], Row] = attrs.field(repr=False, eq=False)

    def propose(self, trials: Sequence[Trial], number: int) -> Values:
        """Return the values of a trial.

        Args:
            trials: The other trials.
            number: Its number, below `num_trials`.
        """
        if self.sampler == "grid":
            return self.space.grid(self.num_trials, self.args.seed)[number]
        return propose(
            self.space, self.sampler, self.args.seed, trials, number, maximize=self.maximize
        )

    def binding(self) -> dict[str, Any]:
        """Return the options on which the trials depend, as plain data."""
        options: dict[str, Any] = plain(self.args)
        if self.sampler != "grid":
            del options["trials"]  # more of them leave the earlier ones as they are
        return {**options, "sampler": self.sampler}

    def all_ended(self, trials: Sequence[Trial]) -> bool:
        """Return whether no trial is left to run."""
        ended = {trial.number for trial in trials if trial.state != "started"}
        return ended.issuperset(range(self.num_trials))

    def best(self, trials: Sequence[Trial]) -> Trial | None:
        """Return the best of the finished trials, the first of equal ones, or None."""
        sign = 1.0 if self.maximize else -1.0
        finished = [trial for trial in trials if trial.state == "finished"]
        return max(finished, key=lambda trial: sign * (trial.value or 0.0), default=None)

    def __str__(self) -> str:
        better = "largest" if self.maximize else "smallest"
        pruned = "" if self.args.pruner == "none" else f", pruned by {self.args.pruner}"
        return f"{self.num_trials} trials by {self.sampler}{pruned}, {better} {self.args.metric}"
