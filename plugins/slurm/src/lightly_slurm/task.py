"""What a SLURM job runs."""

from __future__ import annotations

import signal

from lightly_core.benchmarking.node import run_on_node
from lightly_core.contracts.launcher import RowEnd, RowJob

#: SLURM sends the warning of submitit to all processes of a job. It would end the row's process.
_WITHOUT_WARNING = ("sh", "-c", 'trap "" USR2; exec "$@"', "sh")


def run_row(job: RowJob) -> RowEnd:
    """Run a row in a process of its own.

    The warning before the end of the job's time (SIGUSR2) and that of a preemption (SIGTERM) let
    the row save and stop.
    """
    return run_on_node(job, prefix=_WITHOUT_WARNING, signals=[signal.SIGUSR2])
