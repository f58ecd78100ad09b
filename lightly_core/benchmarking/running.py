"""Rows that run on a launcher: their jobs, their progress and their ends."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightly_core.benchmarking import state
from lightly_core.benchmarking.files import EXIT_INTERRUPTED
from lightly_core.benchmarking.planning import Plan
from lightly_core.benchmarking.process import describe_exit
from lightly_core.benchmarking.results import RowResult, row_result, summary
from lightly_core.benchmarking.state import RowFolder
from lightly_core.benchmarking.suite import Row
from lightly_core.contracts.launcher import Launcher, RowEnd, RowJob, Stop
from lightly_core.progress import Task, progress

Say = Callable[[str], None]

#: Seconds between two looks at the progress of a row.
_LOOK_SECONDS = 2.0
#: How often a row is submitted again that its machine has interrupted.
_MOST_RESTARTS = 20
#: Seconds in which files of another machine appear here, as network file systems cache folders.
_SECONDS_TO_APPEAR = 65.0
#: Seconds that a row waits for the lock of its folder, if its first machine was lost. The lock of a
#: process that cannot be seen counts as released after three minutes.
_PATIENCE_SECONDS = 240.0


@dataclass(frozen=True)
class Order:
    """A row to be run.

    Attributes:
        row: The row.
        folder: Its files.
        plan: Its length.
        place: Its number and name, for messages.
        values: What is special about it, for messages, in place of its length.
    """

    row: Row
    folder: RowFolder
    plan: Plan
    place: str
    values: str = ""


@dataclass
class _Running:
    order: Order
    task: Task
    closing: ExitStack = field(repr=False)
    stopped: bool = False


class RunningRows:
    """The rows that run on a launcher.

    Args:
        launcher: It is open.
        say: Reports progress, one line per call.
        blocked_plugins: Plugins that are not loaded.
    """

    def __init__(self, launcher: Launcher, say: Say, blocked_plugins: Sequence[str] = ()) -> None:
        self._launcher = launcher
        self._say = say
        self._blocked = list(blocked_plugins)
        self._running: dict[str, _Running] = {}
        self._restarts: Counter[str] = Counter()
        self._looked = time.monotonic()

    @property
    def names(self) -> list[str]:
        """Names of the rows that have been submitted and have not ended."""
        return list(self._running)

    @property
    def free(self) -> int | None:
        """How many more rows may be submitted now; None: any number."""
        capacity = self._launcher.capacity
        return None if capacity is None else max(0, capacity - len(self._running))

    def submit(self, orders: Sequence[Order]) -> None:
        """Write the jobs of rows and submit them together."""
        for order in orders:
            self._say(f"{order.place}: {_beginning(order)}")
            order.folder.failure.unlink(missing_ok=True)
            closing = ExitStack()
            total = None if order.values else order.plan.steps
            task = closing.enter_context(
                progress(order.place, total, unit="steps", write=self._say)
            )
            self._running[order.row.name] = _Running(order, task, closing)
        self._launcher.submit([self._job(order) for order in orders])

    def _job(self, order: Order) -> RowJob:
        folder, elsewhere = order.folder, self._launcher.elsewhere
        write_job(order.row, folder, self._blocked, _PATIENCE_SECONDS if elsewhere else 0.0)
        job, log = (Path(os.path.abspath(path)) for path in (folder.job, folder.log))
        return RowJob(order.row.name, job, log, Path.cwd())

    def wait(self, seconds: float) -> list[RowEnd]:
        """Return the ends of rows, for `finish`, and show the progress of the others.

        Args:
            seconds: How long to wait for the first end.
        """
        ends = self._launcher.wait(seconds)
        if time.monotonic() - self._looked >= _LOOK_SECONDS:
            self._looked = time.monotonic()
            for running in self._running.values():
                _follow(running.order.folder, running.task)
        return ends

    def finish(self, ends: Sequence[RowEnd]) -> list[RowResult]:
        """Read the results of rows that have ended.

        A row that was asked to stop has the state ``interrupted``, unless it had just finished. A
        row that is submitted again has no result yet.
        """
        found = [self._ended(end) for end in ends]
        return [result for result in found if result is not None]

    def stop(self, names: Sequence[str], how: Stop = "save") -> None:
        """Ask rows to end; see `Launcher.stop`."""
        for name in names:
            if name in self._running:
                self._running[name].stopped = True
        self._launcher.stop(names, how)

    def close(self) -> None:
        """Remove the bars and the jobs of rows that have not ended."""
        for running in self._running.values():
            running.closing.close()
            running.order.folder.job.unlink(missing_ok=True)
        self._running = {}

    def _ended(self, end: RowEnd) -> RowResult | None:
        """Return the result of a row that has ended; None: it was submitted again."""
        running = self._running.pop(end.name)
        order = running.order
        running.closing.close()
        order.folder.job.unlink(missing_ok=True)
        if running.stopped:
            return row_result(order.row, order.folder)
        elsewhere = self._launcher.elsewhere
        if elsewhere and end.code == EXIT_INTERRUPTED and self._may_restart(end.name):
            self._say(f"{order.place}: interrupted by its machine, submitted again")
            self.submit([order])
            return None
        if elsewhere and end.code == 0:
            _appear(order.folder.result)
        if not (order.folder.result.is_file() or order.folder.failure.is_file()):
            known = end.problem if end.code is None else describe_exit(end.code)
            state.write(order.folder.failure, {"error": known})
        result = row_result(order.row, order.folder)
        self._say(f"{order.place}: {summary(result, order.folder)}")
        return result

    def _may_restart(self, name: str) -> bool:
        self._restarts[name] += 1
        return self._restarts[name] <= _MOST_RESTARTS


def write_job(row: Row, folder: RowFolder, blocked_plugins: Sequence[str], patience: float) -> None:
    """Write the settings for the process of a row.

    Args:
        row: The row.
        folder: Its files.
        blocked_plugins: Plugins that are not loaded.
        patience: Seconds that it waits for the lock of its folder.
    """
    write_settings(row, folder)
    images: dict[str, Any] = {key: row.run[key] for key in ("data", "val_data") if key in row.run}
    job = {
        "folder": str(folder.root),
        "blocked_plugins": list(blocked_plugins),
        "patience": patience,
        "run": {**row.run, "out": str(folder.run)},
        "evaluate": None if row.evaluate is None else {**row.evaluate, **images},
    }
    state.write_private(folder.job, job)


def write_settings(row: Row, folder: RowFolder) -> None:
    """Write the settings that a row is started with."""
    settings = state.binding_settings(row)
    state.write(
        folder.settings,
        {"name": row.name, "digest": state.digest(settings), "settings": settings},
    )


def _beginning(order: Order) -> str:
    folder, plan = order.folder, order.plan
    how = (
        "evaluating what is trained"
        if folder.trained.is_file()
        else "resuming"
        if folder.interrupted
        else "starting"
    )
    length = f"{plan.steps} steps of {plan.batch_size} images on {plan.accelerator}"
    return f"{how}, {order.values or length}, log in {folder.log}"


def _appear(path: Path) -> None:
    """Wait until a file that another machine has written can be seen here."""
    until = time.monotonic() + _SECONDS_TO_APPEAR
    while not path.is_file() and time.monotonic() < until:
        time.sleep(0.5)


def _follow(folder: RowFolder, task: Task) -> None:
    """Show the newest step of a row, or that it is evaluated."""
    if folder.trained.is_file():
        task.note = "evaluating"
        task.reach(task.total or 0)
        return
    try:
        logged = json.loads(_last_line(folder.run / "metrics.jsonl"))
    except ValueError:
        return
    task.reach(logged["step"])


def _last_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 10_000))
            return file.read().decode(errors="replace").rstrip().rpartition("\n")[2]
    except OSError:
        return ""
