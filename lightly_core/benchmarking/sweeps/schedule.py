"""The sweeps of a suite while it runs: orders for their trials, their ends, their stops."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from attrs import define

from lightly_core.benchmarking.files import BEST_FILE
from lightly_core.benchmarking.planning import Plan
from lightly_core.benchmarking.results import RowResult
from lightly_core.benchmarking.running import Order, RunningRows, write_settings
from lightly_core.benchmarking.state import RowFolder
from lightly_core.benchmarking.suite import Row
from lightly_core.benchmarking.sweeps.best import words
from lightly_core.benchmarking.sweeps.search import Search
from lightly_core.benchmarking.sweeps.sweep import Sweep
from lightly_core.benchmarking.sweeps.table import counts

#: Seconds between two looks at the measurements of running trials.
_LOOK_SECONDS = 2.0


@define
class _Begun:
    search: Search
    sweep: Sweep
    place: str


class Searches:
    """The sweeps of a suite that have begun.

    Args:
        folder: That of the suite.
        say: Reports progress, one line per call.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say
        self._begun: dict[str, _Begun] = {}
        self._looked = time.monotonic()

    def orders(self, row: Row, place: str, plan: Plan, most: int | None) -> list[Order]:
        """Return trials of a row that may start now.

        Args:
            row: A row with a sweep.
            place: Its number and name, for messages.
            plan: The length of its longest trial.
            most: How many may start; None: any number.
        """
        search = self._search(row, place)
        orders: list[Order] = []
        while most is None or len(orders) < most:
            trial = search.next()
            if trial is None:
                break
            folder = RowFolder(self._folder / trial.name)
            name = trial.name.removeprefix(row.name)
            values = words(search.values(trial.name))
            orders.append(Order(trial, folder, plan, f"{place}{name}", values))
        return orders

    def has(self, name: str) -> bool:
        """Return whether a sweep has begun."""
        return name in self._begun

    def is_done(self, name: str) -> bool:
        """Return whether all trials of a sweep that has begun have ended."""
        return self._begun[name].search.done

    def ended(self, result: RowResult) -> None:
        """Note the end of a row that may be a trial."""
        name, _, _ = result.name.partition("/")
        if name == result.name or name not in self._begun:
            return
        begun = self._begun[name]
        trial = begun.search.ended(result)
        place = f"{begun.place}/{trial.name}"
        metric = begun.sweep.args.metric
        if trial.state == "pruned" and trial.value is not None:
            epoch = trial.points[-1][0]
            self._say(f"{place}: pruned after epoch {epoch}, {metric} {trial.result}")
        elif trial.state == "failed" and result.state != "failed":
            self._say(f"{place}: FAILED: {trial.error}")
        elif trial.state == "finished":
            self._say(f"{place}: {metric} {trial.result}")
        if begun.search.done:
            self._say_best(name, begun)

    def stop(self, rows: RunningRows) -> None:
        """Ask the trials to end whose measurements say so, a few seconds after the last call."""
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        for begun in self._begun.values():
            names = begun.search.to_stop()
            if names:
                # On Windows the console alone can send Ctrl-C.
                rows.stop(names, "kill" if sys.platform == "win32" else "save")

    def _search(self, row: Row, place: str) -> Search:
        if row.name not in self._begun:
            assert row.sweep is not None  # the caller has looked
            folder = RowFolder(self._folder / row.name)
            write_settings(row, folder)
            self._begun[row.name] = _Begun(Search(row, folder.root), row.sweep, place)
        return self._begun[row.name].search

    def _say_best(self, name: str, begun: _Begun) -> None:
        trials = begun.search.trials
        best = begun.sweep.best(trials)
        if best is None:
            self._say(f"{begun.place}: FAILED: no trial has finished ({counts(trials)})")
            return
        value = f"{begun.sweep.args.metric} {best.result}"
        file = self._folder / name / BEST_FILE
        self._say(
            f"{begun.place}: best is {best.name} of {counts(trials)}, {value}\n"
            f"  {words(best.values)}\n"
            f"  all its settings: lightly run --config {file} out=..."
        )
