"""Requeue the job of SLURM in which a run was stopped."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable

from lightly_core.config.options.settings import RunConfig
from lightly_core.config.reading.launch import is_first_process
from lightly_core.config.reading.requeue import job_id

logger = logging.getLogger(__name__)

_SECONDS = 60.0


def requeueing(run: RunConfig) -> Callable[[], None] | None:
    """Return the function that requeues this job; None: it is not requeued, or by another process.

    Args:
        run: Settings of the run.
    """
    if not run.requeue or not is_first_process():
        return None
    if job_id() is None:
        logger.warning("requeue=true: no effect, as this is no batch job of SLURM")
        return None
    return requeue


def requeue() -> None:
    """Put this job back into the queue. SLURM then ends all its processes.

    That this fails is only logged, as the run has been saved.
    """
    command = ["scontrol", "requeue", str(job_id())]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        code, output = done.returncode, (done.stderr or done.stdout).strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        code, output = 1, str(error)
    text = " ".join(command)
    if code:
        logger.error(
            "`%s` failed: %s. Submit the job again with resume_interrupted=true.", text, output
        )
    else:
        logger.info("Requeued the job: `%s`. It resumes by itself.", text)
