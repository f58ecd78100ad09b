"""Checks of launchers, on rows that are trained already, so that they need no torch."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

from lightly_core.benchmarking import state
from lightly_core.benchmarking.files import EXIT_FAILED, EXIT_INTERRUPTED
from lightly_core.contracts import Launcher, RowEnd, RowJob, Stop, SuiteInfo
from lightly_core.engine.lock import held
from lightly_core.testing.checks import Check, require

_Factory = Callable[[SuiteInfo], Launcher]
#: Seconds in which a row must end. Its cluster may have to start first.
_SECONDS = 180.0
#: Seconds that a row waits for its folder in checks that stop it.
_PATIENCE = 600.0


def launcher_checks(factory: _Factory, folder: Path | None = None) -> list[Check]:
    """Return the checks that a launcher runs rows as a suite needs it.

    Args:
        factory: Returns a new launcher, as it is built with its options.
        folder: Folder for the rows, on storage that all machines share; None: a temporary folder
            of this machine.

    Returns:
        One check for each requirement, R1 to R6.
    """
    return [
        Check(code, title, partial(_with_launcher, factory, folder, function))
        for code, (title, function) in _CHECKS.items()
    ]


class _Case:
    """A launcher, and rows for it."""

    def __init__(self, launcher: Launcher, folder: Path) -> None:
        self.launcher = launcher
        self.folder = folder

    def row(self, name: str, patience: float = 0.0) -> RowJob:
        """Write the files of a row that only has to put its results together."""
        folder = state.RowFolder(self.folder / name)
        state.write(folder.settings, {"name": name, "settings": {}})
        state.write(folder.trained, {})
        job = {"folder": str(folder.root), "blocked_plugins": [], "patience": patience}
        state.write_private(folder.job, {**job, "run": {}, "evaluate": None})
        return RowJob(name, folder.job, folder.log, self.folder)

    def has_finished(self, name: str) -> bool:
        """Return whether a row has written its result."""
        return state.RowFolder(self.folder / name).result.is_file()

    def ends(self, number: int) -> list[RowEnd]:
        """Wait for the ends of rows."""
        until, found = time.monotonic() + _SECONDS, list[RowEnd]()
        while len(found) < number and time.monotonic() < until:
            found += self.launcher.wait(0.2)
        require(
            len(found) == number,
            f"{number} rows were to end in {_SECONDS:.0f} s, got the ends {found}",
        )
        return found


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    # A cluster may still write a log when the folder is removed.
    made = tempfile.TemporaryDirectory(dir=given, ignore_cleanup_errors=True)
    with made as folder:
        yield Path(folder).resolve()


def _with_launcher(
    factory: _Factory, given: Path | None, function: Callable[[_Case], None]
) -> None:
    with _folder(given) as folder:
        launcher = factory(SuiteInfo("checks", folder, (), lambda text: None))
        try:
            launcher.open()
            function(_Case(launcher, folder))
        finally:
            launcher.close()


def _ends(case: _Case) -> None:
    names = ("one", "two")
    capacity = case.launcher.capacity
    require(capacity is None or capacity >= 1, f"capacity is {capacity}, expected at least 1")
    at_once = 2 if capacity is None else min(capacity, 2)
    found: list[RowEnd] = []
    for first in range(0, 2, at_once):
        case.launcher.submit([case.row(name) for name in names[first : first + at_once]])
        found += case.ends(at_once)
    require(
        sorted((end.name, end.code) for end in found) == [(name, 0) for name in names],
        f"two rows that work ended as {found}, expected each once with code 0",
    )
    require(all(map(case.has_finished, names)), "a row ended with code 0 and has no result")
    require(case.launcher.wait(0.0) == [], "an end was returned twice")


def _failure(case: _Case) -> None:
    job = case.row("fails")
    with held(job.job.parent):
        case.launcher.submit([job])
        (end,) = case.ends(1)
    require(
        (end.name, end.code) == ("fails", EXIT_FAILED),
        f"a row that fails ended as {end}, expected its exit code, {EXIT_FAILED}",
    )
    require("in use by another process" in job.log.read_text(), f"its output is not in {job.log}")


def _again(case: _Case) -> None:
    for locked in (True, False):
        job = case.row("again")
        with held(job.job.parent) if locked else nullcontext():
            case.launcher.submit([job])
            (end,) = case.ends(1)
    require(end.code == 0, f"a row whose name was used before ended as {end}, expected code 0")


def _stopped(how: Stop, case: _Case) -> RowEnd:
    """Stop a row that waits for the lock of its folder, after its process has started."""
    job = case.row("waits", _PATIENCE)
    with held(job.job.parent):
        case.launcher.submit([job])
        until = time.monotonic() + _SECONDS
        while time.monotonic() < until and "waiting" not in _text(job.log):
            require(case.launcher.wait(0.1) == [], "a row ended before it was stopped")
        case.launcher.stop(["waits", "unknown"], how)
        (end,) = case.ends(1)
    require(not case.has_finished("waits"), "a row that was stopped has finished")
    return end


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8") if log.exists() else ""


def _saved(case: _Case) -> None:
    end = _stopped("save", case)
    require(
        end.code == EXIT_INTERRUPTED,
        f"a row that was asked to save and stop ended as {end}, expected code {EXIT_INTERRUPTED}",
    )


def _killed(case: _Case) -> None:
    end = _stopped("kill", case)
    require(end.code != 0, f"a row that was killed ended as {end}")


def _closed_twice(case: _Case) -> None:
    case.launcher.close()
    case.launcher.close()


_CHECKS: dict[str, tuple[str, Callable[[_Case], None]]] = {
    "R1": ("runs_rows_and_returns_each_end_once", _ends),
    "R2": ("returns_the_code_of_a_row_that_fails", _failure),
    "R3": ("takes_a_name_again", _again),
    "R4": ("lets_a_row_save_and_stop", _saved),
    "R5": ("kills_a_row", _killed),
    "R6": ("closes_twice", _closed_twice),
}
