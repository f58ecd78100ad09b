"""The trials of a sweep, one after another or several at once: which is next, which is stopped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve

from lightly_core.benchmarking.state import RowFolder
from lightly_core.benchmarking.sweeps.measurements import Measurements, read_measurements
from lightly_core.benchmarking.sweeps.pruning import pruned_at
from lightly_core.benchmarking.sweeps.space import Values
from lightly_core.benchmarking.sweeps.sweep import Sweep
from lightly_core.benchmarking.sweeps.trial import Trial, read_trials
from lightly_core.engine.lock import owner_of
from lightly_core.errors import ConfigError, RunError

if TYPE_CHECKING:
    from lightly_core.benchmarking.results import RowResult
    from lightly_core.benchmarking.suite import Row


class Search:
    """The trials of a sweep. What is known is read from their files, so it may go on later.

    Args:
        row: A row with a sweep.
        folder: Its folder.
    """

    def __init__(self, row: Row, folder: Path) -> None:
        assert row.sweep is not None  # the caller has looked
        self._row = row
        self._sweep: Sweep = row.sweep
        self._folder = folder
        self._trials = {trial.number: trial for trial in read_trials(folder)}
        self._running: dict[str, int] = {}
        self._stopped: dict[int, int] = {}
        if self.done and self._sweep.best(self.trials) is None:
            for trial in self.trials:  # all have failed, and are tried again
                self._trials[trial.number] = evolve(trial, state="started", error=None)

    @property
    def trials(self) -> list[Trial]:
        """All trials so far, by number."""
        return [self._trials[number] for number in sorted(self._trials)]

    @property
    def done(self) -> bool:
        """Whether all trials have ended."""
        return self._sweep.all_ended(self.trials)

    def next(self) -> Row | None:
        """Return the row of the next trial; None if none is to be started now.

        A trial that was interrupted comes before those that have not started.

        Raises:
            RunError: A process of an earlier call still runs the trial.
        """
        for number in range(self._sweep.num_trials):
            if len(self._running) >= self._sweep.args.trials_at_once:
                return None
            if not self._has_ended(number) and number not in self._running.values():
                row = self._begun(number)
                if row is not None:
                    self._running[row.name] = number
                    return row
        return None

    def values(self, name: str) -> Values:
        """Return the values of a running trial.

        Args:
            name: Name of its row.
        """
        return self._trials[self._running[name]].values

    def to_stop(self) -> list[str]:
        """Return the rows that their measurements since the last call say to stop."""
        names = []
        for name, number in self._running.items():
            if number not in self._stopped:
                found = self._measured(number, ended=False)
                epoch = self._pruned_at(number, found)
                if epoch is not None:
                    self._stopped[number] = epoch
                    names.append(name)
        return names

    def ended(self, result: RowResult) -> Trial:
        """Note the end of a row that `next` returned, and return its trial.

        Args:
            result: ``interrupted``: the trial stays open, unless its measurements say that it was
                to be stopped.
        """
        return self._close(self._running.pop(result.name), result.state, result.error)

    def _has_ended(self, number: int) -> bool:
        return number in self._trials and self._trials[number].state != "started"

    def _begun(self, number: int) -> Row | None:
        """Begin or continue a trial. None: nothing of it is left to run."""
        if number not in self._trials:
            self._note(Trial(number=number, values=self._sweep.propose(self.trials, number)))
        trial = self._trials[number]
        folder = RowFolder(self._folder / trial.name)
        owner = owner_of(folder.root)
        if owner is not None:
            raise RunError(
                f"'{folder.root}' is in use by {owner}, which this suite started before it was "
                "killed; wait until it has ended, or end it, and repeat the command"
            )
        state = "finished" if folder.result.is_file() else "interrupted"
        if self._close(number, state, None).state != "started":
            return None  # it had ended, and the suite was killed before it took note
        try:
            return self._sweep.make(f"{self._row.name}/{trial.name}", trial.values)
        except ConfigError as error:
            self._note(evolve(trial, state="failed", error=str(error)))
            return None

    def _close(self, number: int, state: str, error: str | None) -> Trial:
        """Decide what has become of a trial, from its measurements and the state of its row."""
        found = self._measured(number, ended=state == "finished")
        trial = evolve(self._trials[number], num_images=found.num_images)
        epoch = self._stopped.pop(number, None)
        if epoch is None:
            epoch = self._pruned_at(number, found)
        if epoch is not None:
            points = tuple(point for point in found.points if point[0] <= epoch)
            return self._note(evolve(trial, state="pruned", points=points))
        if state == "finished":
            problem = self._problem(found)
            if problem is None:
                return self._note(evolve(trial, state="finished", points=found.points))
            return self._note(evolve(trial, state="failed", error=problem))
        if state == "failed":
            return self._note(evolve(trial, state="failed", error=error))
        return trial

    def _measured(self, number: int, *, ended: bool) -> Measurements:
        run = RowFolder(self._folder / self._trials[number].name).run
        return read_measurements(run, self._sweep.args.metric, ended=ended)

    def _pruned_at(self, number: int, found: Measurements) -> int | None:
        return pruned_at(
            found.points,
            self._others(number),
            self._sweep.args,
            maximize=self._sweep.maximize,
            last_epoch=found.last_epoch,
        )

    def _others(self, number: int) -> Sequence[Trial]:
        return [trial for trial in self.trials if trial.number != number]

    def _problem(self, found: Measurements) -> str | None:
        """Return why a run that has finished has no value; None if it has one."""
        metric = self._sweep.args.metric
        if not found.points:
            known = ", ".join(sorted(found.known))
            return f"it logged no '{metric}' after its first step; it logged: {known}"
        if not math.isfinite(found.points[-1][1]):
            return f"'{metric}' is not finite"
        return None

    def _note(self, trial: Trial) -> Trial:
        self._trials[trial.number] = trial
        trial.write(self._folder)
        return trial
