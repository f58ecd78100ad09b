"""Rows as copies of a process that has imported torch already, so that they start faster.

A process, the server, imports what all rows need and opens no device. For each row it forks: the
copy becomes the process of the row. Where that is not safe, a row starts a new interpreter.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightly_core.benchmarking.process import row_environment

if TYPE_CHECKING:
    from lightly_core.benchmarking.suite import Row

SERVER = "lightly_core.cli.benchmark_server"

#: What every run imports, some of it only when it is used first.
_OF_A_RUN = ("lightly_core.engine.run", "torch._dynamo")
_OF_AN_EVALUATION = ("lightly_core.evaluation.run",)
_OF_TENSORBOARD = ("torch.utils.tensorboard",)


def modules_of(rows: Sequence[Row]) -> list[str]:
    """Return the modules that all rows import, and no other.

    A library that only some of them use may change the state of the process, such as the number of
    threads, and so the results of the others.
    """
    common = set.intersection(*(set(_modules_of(row)) for row in rows)) if rows else set()
    return [name for name in _modules_of(rows[0]) if name in common] if rows else []


def _modules_of(row: Row) -> Iterator[str]:
    yield from _OF_A_RUN
    settings = row.settings
    for record in (settings.model_record, settings.method_record, settings.transform_record):
        if record is not None:
            yield record.target.partition(":")[0]
    if "tensorboard" in settings.loggers:
        yield from _OF_TENSORBOARD
    if row.evaluate is not None:
        yield from _OF_AN_EVALUATION


def start_server(modules: Sequence[str]) -> RowServer | None:
    """Start a server. None where a copy of a process is not safe, or nothing is to be imported.

    On Windows there is no fork, and on macOS libraries of the system do not work after one.

    Args:
        modules: What the server imports.
    """
    return RowServer(modules) if modules and sys.platform == "linux" else None


class RowServer:
    """The server; it starts to import at once, while the caller does something else.

    Args:
        modules: Names of the modules to import. One that fails is left to the row.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        self._place = os.getcwd()
        self._environment = row_environment()
        self._received = b""
        self._ready: bool | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-m", SERVER, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
            env=self._environment,
        )

    def fork(self, job: Path, log: Path) -> ForkedRow | None:
        """Start the process of a row, after the process of the row before has ended.

        Args:
            job: File with the job of the row, see `lightly_core.cli.benchmark_row`.
            log: File that its output is added to.

        Returns:
            The process. None if a new interpreter is to run the row: the server has ended, a copy
            of it is not safe, or environment or working directory have changed since its start.
        """
        if self._environment != row_environment() or self._place != os.getcwd():
            return None
        if self._ready is None:
            self._ready = (self.receive(None) or {}).get("problem", "ended") is None
        if not self._ready:
            return None
        request = {"job": os.path.abspath(job), "log": os.path.abspath(log)}
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
        except OSError:  # it has ended
            self._ready = False
            return None
        answer = self.receive(None)
        if answer is None:
            self._ready = False
            return None
        return ForkedRow(self, answer["pid"])

    def receive(self, timeout: float | None) -> dict[str, Any] | None:
        """Return the next message; None if the server has ended.

        Raises:
            subprocess.TimeoutExpired: There was none in `timeout` seconds.
        """
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        until = None if timeout is None else time.monotonic() + timeout
        while b"\n" not in self._received:
            left = None if until is None else max(0.0, until - time.monotonic())
            if not select.select([descriptor], [], [], left)[0]:
                raise subprocess.TimeoutExpired(SERVER, timeout or 0.0)
            block = os.read(descriptor, 65536)
            if not block:
                return None
            self._received += block
        line, _, self._received = self._received.partition(b"\n")
        return dict(json.loads(line))

    def close(self) -> None:
        """End the server."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


class ForkedRow:
    """The process of a row that a server has forked. Its methods are those of `Popen`.

    The server keeps its process id until the next row starts, so a signal reaches no other process.

    Args:
        server: The server.
        pid: Process id of the row.
    """

    def __init__(self, server: RowServer, pid: int) -> None:
        self._server = server
        self._pid = pid
        self._code: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code once it has ended; minus the signal's number if one ended it.

        Raises:
            subprocess.TimeoutExpired: It has not ended in `timeout` seconds.
        """
        if self._code is None:
            message = self._server.receive(timeout)
            if message is None:  # the system has killed the server, and nothing waits for the row
                self.kill()
                self._code = -signal.SIGKILL
            else:
                self._code = int(message["code"])
        return self._code

    def poll(self) -> int | None:
        """Return its exit code if `wait` has returned it. Signal handlers may call this."""
        return self._code

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self._code is None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)
