"""Jobs of SLURM that are requeued: which job this is, and how a requeued one goes on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import evolve

from lightly_core.config.options.settings import RunConfig
from lightly_core.config.reading.launch import INTERACTIVE_JOBS


def job_id(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the ID of this batch job, as ``scontrol requeue`` takes it.

    Args:
        environ: Environment variables.

    Returns:
        ``JOB``, or ``ARRAY_TASK`` for a job of an array. None: this is no batch job of SLURM.
    """
    job = environ.get("SLURM_JOB_ID")
    if not job or environ.get("SLURM_JOB_NAME") in INTERACTIVE_JOBS:
        return None
    array, task = environ.get("SLURM_ARRAY_JOB_ID"), environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else job


def after_requeue(run: RunConfig, environ: Mapping[str, str] = os.environ) -> RunConfig:
    """Return the settings with which a requeued job goes on; others are returned unchanged.

    It resumes if there is a checkpoint. Otherwise it was stopped before the first one, and starts
    again in the same folder.

    Args:
        run: Settings of the first start.
        environ: Environment variables.
    """
    restarts = environ.get("SLURM_RESTART_COUNT", "0")
    again = restarts.isdecimal() and int(restarts) > 0 and job_id(environ) is not None
    if not (run.requeue and again):
        return run
    saved = any((Path(run.out) / "checkpoints").glob("*.ckpt"))
    checkpoint = None if saved else run.checkpoint
    return evolve(run, resume_interrupted=saved, overwrite=not saved, checkpoint=checkpoint)


def requeue_problems(run: RunConfig) -> Iterator[str]:
    """Yield why a job could not be requeued, or could not go on."""
    if not run.requeue:
        return
    if run.callbacks is not None and run.callbacks.get("model_checkpoint", True) is None:
        yield (
            "config.requeue: a requeued job goes on from its last checkpoint, but "
            "callbacks.model_checkpoint=none writes none; remove one of the two settings"
        )
    if job_id() is not None and shutil.which("scontrol") is None:
        yield (
            "config.requeue: the command scontrol of SLURM is not on PATH here; add its folder to "
            "PATH in the job's script, or set requeue=false"
        )
