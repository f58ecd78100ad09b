"""The launcher of this machine: a process for each row, forked from a server where that is safe."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress

from lightly_core.benchmarking.forking import start_server
from lightly_core.benchmarking.process import Process, ask, end, row_command, start_process
from lightly_core.config.options.launchers import LocalArgs
from lightly_core.contracts.launcher import Launcher, RowEnd, RowJob, Stop, SuiteInfo

#: Seconds to wait for one of several processes before the next one is looked at.
_TURN_SECONDS = 0.02


class LocalLauncher(Launcher):
    """Rows as processes of this machine."""

    elsewhere = False

    def __init__(self, config: LocalArgs, suite: SuiteInfo) -> None:
        super().__init__(config, suite)
        self._at_once = config.rows_at_once
        # A server forks one row after another.
        one = config.fork_rows and config.rows_at_once == 1
        self._server = start_server(suite.modules) if one else None
        self._running: dict[str, Process] = {}

    @property
    def capacity(self) -> int:
        """How many rows may be submitted at the same time."""
        return self._at_once

    def submit(self, jobs: Sequence[RowJob]) -> None:
        """Start the process of each row."""
        for job in jobs:
            self._running[job.name] = self._start(job)

    def _start(self, job: RowJob) -> Process:
        forked = self._server.fork(job.job, job.log) if self._server is not None else None
        if forked is not None:
            return forked
        return start_process(row_command(job.job), job.log, place=job.place)

    def wait(self, seconds: float) -> list[RowEnd]:
        """Return the rows that have ended."""
        until = time.monotonic() + seconds
        turn = seconds if len(self._running) == 1 else _TURN_SECONDS
        ends: list[RowEnd] = []
        while self._running and not ends:
            for name, process in list(self._running.items()):
                with suppress(subprocess.TimeoutExpired):
                    ends.append(RowEnd(name, process.wait(turn)))
                    del self._running[name]
            if time.monotonic() >= until:
                break
        return ends

    def stop(self, names: Sequence[str], how: Stop) -> None:
        """Send the rows SIGINT, or kill them."""
        for name in names:
            if name in self._running:
                ask(self._running[name], how)

    def close(self) -> None:
        """Kill what still runs, and end the server."""
        for process in self._running.values():
            end(process)
        self._running = {}
        if self._server is not None:
            self._server.close()
