"""Start a row's process and wait for it. Each Ctrl-C reaches it once."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Any, Protocol

from lightly_core.benchmarking.forking import row_environment
from lightly_core.data.signals import stop_signals

#: Seconds between two calls of `on_poll`.
_POLL_SECONDS = 2.0


class Process(Protocol):
    """What `Worker` calls of a process, as in `subprocess.Popen`."""

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code once it has ended."""

    def poll(self) -> int | None:
        """Return its exit code, or None."""

    def send_signal(self, sig: int, /) -> None:
        """Send it a signal."""

    def kill(self) -> None:
        """End it at once."""


class Worker:
    """The process of one row.

    It leads a process group of its own. Otherwise the terminal would send Ctrl-C to it as well. The
    second copy would count as a second press, and nothing would be saved.

    Args:
        command: The program and its arguments.
        log: File that its output is added to.
        on_poll: Called every few seconds while it runs.
        fork: Starts the process in place of `command`; if it returns None, `command` is run.

    Attributes:
        num_stops: How often it was asked to stop.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        on_poll: Callable[[], None],
        fork: Callable[[], Process | None] | None = None,
    ) -> None:
        self._command = command
        self._log = log
        self._on_poll = on_poll
        self._fork = fork
        self._process: Process | None = None
        self._previous: dict[int, Any] = {}
        self.num_stops = 0

    def run(self) -> int:
        """Run it to its end.

        Returns:
            Its exit code; minus the signal's number where a signal ended it.
        """
        with self._log.open("ab") as output:
            self._listen()
            try:
                self._process = self._start(output)
                if self.num_stops:  # pressed while it was being started
                    self._process.send_signal(signal.SIGINT)
                return self._wait(self._process)
            finally:
                self._restore()

    def _start(self, output: IO[bytes]) -> Process:
        forked = self._fork() if self._fork is not None else None
        if forked is not None:
            return forked
        return subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=row_environment(),
        )

    def _wait(self, process: Process) -> int:
        try:
            while True:
                try:
                    return process.wait(_POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    self._on_poll()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def _listen(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in stop_signals():
                self._previous[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Pass it on: the first saves and stops, the second stops unsaved, the third kills."""
        self.num_stops += 1
        if self._process is None or self._process.poll() is not None:
            return
        if self.num_stops > 2:
            self._process.kill()
        else:
            self._process.send_signal(signal.SIGINT)

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}


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
