"""What Ray runs on a machine of the cluster."""

from __future__ import annotations

from lightly_core.benchmarking.node import run_on_node
from lightly_core.contracts.launcher import RowEnd, RowJob


def run_row(job: RowJob) -> RowEnd:
    """Run a row in a process of its own, in the main thread of a worker.

    Ray interrupts a task that is cancelled as Ctrl-C does. The row then saves. If the worker dies,
    the row saves and stops too, and goes on where Ray runs the task again.
    """
    return run_on_node(job)
