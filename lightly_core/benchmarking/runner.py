"""Runs the rows of a suite, and keeps the tables up to date."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lightly_core.benchmarking.launching import launcher_of
from lightly_core.benchmarking.planning import Plan, plan_rows
from lightly_core.benchmarking.process import POLL_SECONDS, Presses
from lightly_core.benchmarking.results import RowResult, has_finished, row_results
from lightly_core.benchmarking.running import Order, RunningRows, Say
from lightly_core.benchmarking.state import RowFolder
from lightly_core.benchmarking.suite import Row, Suite
from lightly_core.benchmarking.sweeps.schedule import Searches
from lightly_core.contracts.launcher import Stop
from lightly_core.engine.lock import held
from lightly_core.errors import ConfigError, RunInterrupted


def run_suite(
    suite: Suite,
    *,
    write: Callable[[Sequence[RowResult]], None],
    say: Say,
    blocked_plugins: Sequence[str] = (),
) -> list[RowResult]:
    """Run all chosen rows that have not finished yet.

    Args:
        suite: The rows.
        write: Writes tables and plot; called before the first row and after each that is run.
        say: Reports progress, one line per call.
        blocked_plugins: Plugins that are not loaded.

    Returns:
        One result for each row, in the suite's order. A row that fails stops no other.

    Raises:
        ConfigError: A row cannot run here, or was run with other settings before.
        RunError: Another process runs the same suite.
        RunInterrupted: Ctrl-C; the rows that were running have saved.
    """
    folders = {row.name: RowFolder(suite.folder / row.name) for row in suite.rows}
    chosen = [row for row in suite.rows if row.name in suite.chosen]
    changed = _changed(suite, chosen, folders)
    open_rows = [
        row for row in chosen if row in changed or not has_finished(row, folders[row.name])
    ]
    with launcher_of(suite, open_rows, say) as launcher:
        found = plan_rows(open_rows, blocked_plugins, suite.launcher.row_machine())
        plans = dict(zip((row.name for row in open_rows), found, strict=True))
        refuse_impossible(plans)
        for text in (plan.note for plan in found if plan.note):
            say(f"note: {text}")
        if open_rows:
            launcher.open()
        suite.folder.mkdir(parents=True, exist_ok=True)
        with held(suite.folder):
            for row in changed:
                folders[row.name].forget(row)
            write(row_results(suite))
            rows = RunningRows(launcher, say, blocked_plugins)
            try:
                _Schedule(suite, plans, rows, say).run(lambda: write(row_results(suite)))
            finally:
                rows.close()
    return row_results(suite)


def refuse_impossible(plans: Mapping[str, Plan]) -> None:
    """Raise a ConfigError that names every row that cannot run on this machine."""
    problems = [f"row '{name}': {text}" for name, plan in plans.items() for text in plan.problems]
    if problems:
        raise ConfigError.of(problems)


def _changed(suite: Suite, chosen: Sequence[Row], folders: Mapping[str, RowFolder]) -> list[Row]:
    """Return the rows whose settings have changed since they were started."""
    changes = {row.name: folders[row.name].changes(row) for row in chosen}
    if any(changes.values()) and not suite.overwrite:
        lines = [f"  {name}: {text}" for name, texts in changes.items() for text in texts]
        raise ConfigError(
            f"rows in '{suite.folder}' were started with other settings:\n"
            + "\n".join(lines)
            + "\nset them back, choose another out, or set overwrite=true to run these rows again"
        )
    return [row for row in chosen if changes[row.name]]


class _Schedule:
    """Submits the chosen rows in their order, each after the rows whose files it needs."""

    def __init__(
        self, suite: Suite, plans: Mapping[str, Plan], rows: RunningRows, say: Say
    ) -> None:
        self._suite = suite
        self._plans = plans
        self._rows = rows
        self._say = say
        self._waiting = [row for row in suite.rows if row.name in suite.chosen]
        self._places = {
            row.name: f"[{number}/{len(self._waiting)}] {row.name}"
            for number, row in enumerate(self._waiting, start=1)
        }
        self._searches = Searches(suite.folder, say)
        self._stopped: list[str] = []

    def run(self, write: Callable[[], None]) -> None:
        """Run all rows.

        Args:
            write: Writes the tables.

        Raises:
            RunInterrupted: This process was asked to stop.
        """
        with Presses() as presses:
            while self._waiting or self._rows.names:
                if not presses.count:
                    self._submit()
                if not self._rows.names:  # all rows finished earlier, or none may start any more
                    break
                try:
                    ends = self._rows.wait(POLL_SECONDS)
                    # First, as a signal may have reached the rows too.
                    presses.pass_on(self._stop)
                    ended = self._rows.finish(ends)
                    for result in ended:
                        self._searches.ended(result)
                    if not presses.count:
                        self._searches.stop(self._rows)
                except BaseException:
                    write()
                    raise
                if ended:
                    write()
        if presses.count and (self._waiting or self._stopped):
            raise RunInterrupted(self._message())

    def _submit(self) -> None:
        """Submit the rows that may start now."""
        orders: list[Order] = []
        free = self._rows.free
        unfinished = set(self._rows.names)
        for row in list(self._waiting):
            if free is not None and len(orders) >= free:
                break
            place = self._places[row.name]
            folder = RowFolder(self._suite.folder / row.name)
            if not self._searches.has(row.name) and has_finished(row, folder):
                self._say(f"{place}: finished earlier")
                self._waiting.remove(row)
                continue
            unfinished.add(row.name)
            if not unfinished.isdisjoint(row.needs):
                continue
            if row.sweep is None:
                orders.append(Order(row, folder, self._plans[row.name], place))
                self._waiting.remove(row)
                continue
            most = None if free is None else free - len(orders)
            orders += self._searches.orders(row, place, self._plans[row.name], most)
            if self._searches.is_done(row.name):
                self._waiting.remove(row)
                unfinished.remove(row.name)
        if orders:
            self._rows.submit(orders)

    def _stop(self, how: Stop) -> None:
        self._stopped = self._stopped or self._rows.names
        self._rows.stop(self._rows.names, how)

    def _message(self) -> str:
        names = ", ".join(f"'{name}'" for name in self._stopped)
        where = f" in row{'s' * (len(self._stopped) > 1)} {names}" if names else ""
        return f"stopped{where}; the same command resumes it"
