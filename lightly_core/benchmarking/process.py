"""Start a row's process and wait for it. Each Ctrl-C reaches it once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from lightly_core.contracts.launcher import Stop
from lightly_core.data.signals import stop_signals

#: Argument of a row's process, see `row_command`.
WATCHED = "--watched"
#: Seconds after which a signal is passed on at the latest.
POLL_SECONDS = 0.2


class Process(Protocol):
    """What is called of a process, as in `subprocess.Popen`."""

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code once it has ended."""

    def poll(self) -> int | None:
        """Return its exit code, or None."""

    def send_signal(self, sig: int, /) -> None:
        """Send it a signal."""

    def kill(self) -> None:
        """End it at once."""


def row_environment() -> dict[str, str]:
    """Return the environment of a row's process: that of this one, and output without delay."""
    return {**os.environ, "PYTHONUNBUFFERED": "1"}


def row_command(job: Path, *, watched: bool = False) -> list[str]:
    """Return the command that runs a row in a new interpreter.

    Args:
        job: File with its settings.
        watched: Whether its standard input is a pipe of this process, by whose end it notices that
            this process was killed.
    """
    command = [sys.executable, "-m", "lightly_core.cli.benchmark_row", str(job)]
    return [*command, WATCHED] if watched else command


def start_process(
    command: Sequence[str], log: Path, *, place: Path | None = None, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start a process that leads a process group of its own.

    Otherwise the terminal would send Ctrl-C to it as well. The second copy would count as a second
    press, and nothing would be saved.

    Args:
        command: The program and its arguments.
        log: File that its output is added to.
        place: Working directory; None: that of this process.
        stdin: Standard input, as of `subprocess.Popen`.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=place,
            env=row_environment(),
        )


class Presses:
    """Context manager that counts signals instead of ending this process: Ctrl-C and the like.

    Only the main thread can handle signals. In other threads nothing is counted.

    Args:
        further: Signals to count besides those that stop a run.

    Attributes:
        count: How often this process was asked to stop.
    """

    def __init__(self, further: Sequence[int] = ()) -> None:
        self.count = 0
        self._numbers = (*stop_signals(), *further)
        self._passed_on = 0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Presses:
        """Set the handlers."""
        if threading.current_thread() is threading.main_thread():
            for number in self._numbers:
                self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the handlers."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.count += 1

    def pass_on(self, stop: Callable[[Stop], None]) -> None:
        """Call `stop` once for each signal that came since the last call.

        The first lets a row save and stop, the second stops it unsaved, the third kills it.
        """
        while self._passed_on < self.count:
            self._passed_on += 1
            stop("save" if self._passed_on == 1 else "now" if self._passed_on == 2 else "kill")

    def run(self, start: Callable[[], Process]) -> int:
        """Start a process, pass on signals to it, and wait for its end.

        Args:
            start: Starts it.

        Returns:
            Its exit code; minus the signal's number where a signal ended it.
        """
        with self:
            process = start()
            try:
                while True:
                    try:
                        return process.wait(POLL_SECONDS)
                    except subprocess.TimeoutExpired:
                        self.pass_on(partial(ask, process))
            finally:
                end(process)


def ask(process: Process, how: Stop) -> None:
    """Ask a process to end. The second SIGINT ends a row unsaved."""
    if how == "kill":
        process.kill()
    elif sys.platform != "win32":  # where the console sends Ctrl-C to it too
        process.send_signal(signal.SIGINT)


def end(process: Process) -> None:
    """Kill a process that has not ended, and wait for it."""
    if process.poll() is None:
        process.kill()
        process.wait()


def describe_exit(code: int) -> str:
    """Describe an exit code, for a process that wrote no error."""
    if code >= 0:
        return f"the process ended with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = ", perhaps for lack of memory" if name == "SIGKILL" else ""
    return f"the process was ended by {name}{hint}"
