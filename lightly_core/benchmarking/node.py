"""Runs a row on a machine of a cluster. Launchers call it there."""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from lightly_core.benchmarking.files import EXIT_INTERRUPTED
from lightly_core.benchmarking.process import Presses, Process, row_command, start_process
from lightly_core.contracts.launcher import RowEnd, RowJob
from lightly_core.data.signals import stop_signals

#: Seconds in which a new file of another machine appears on a network file system.
_SECONDS_TO_APPEAR = 30.0


def run_on_node(job: RowJob, *, prefix: Sequence[str] = (), signals: Sequence[int] = ()) -> RowEnd:
    """Run a row in a process of its own, and wait for its end.

    Signals to this process are passed on to the row, each once: the first lets it save and stop.
    The row also stops if this process is killed. In the main thread only.

    Args:
        job: The row.
        prefix: A program, and its arguments, that executes the rest of the command line.
        signals: Further signals by which the cluster asks a job to save.

    Returns:
        The end, without code if the folder of the row cannot be seen on this machine.
    """
    missing = _missing(job)
    if missing is not None:
        return RowEnd(
            job.name,
            None,
            f"'{missing}' does not exist on {platform.node()}; the folder of the suite and the "
            "working directory must be on storage that all machines share, at the same place",
        )
    command = [*prefix, *row_command(job.job, watched=True)]

    def start() -> Process:
        return start_process(command, job.log, place=job.place, stdin=subprocess.PIPE)

    presses = Presses(signals)
    code = presses.run(start)
    # Such a signal may reach all processes of a job, and end a row that has not begun to train.
    if (presses.count and code < 0) or -code in (*stop_signals(), *signals):
        code = EXIT_INTERRUPTED
    return RowEnd(job.name, code)


def _missing(job: RowJob) -> Path | None:
    """Return what cannot be seen here, after it had time to appear."""
    until = time.monotonic() + _SECONDS_TO_APPEAR
    while True:
        missing = next((path for path in (job.place, job.job) if not path.exists()), None)
        if missing is None or time.monotonic() >= until:
            return missing
        time.sleep(0.5)
