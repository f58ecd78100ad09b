"""Rows as an array of SLURM jobs, submitted by submitit."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightly_core.benchmarking.files import EXIT_INTERRUPTED
from lightly_core.contracts.launcher import Launcher, RowEnd, RowJob, RowMachine, Stop, SuiteInfo
from lightly_core.errors import RunError
from lightly_slurm.config import SlurmArgs
from lightly_slurm.task import run_row

#: Seconds between two looks at the results of jobs.
_LOOK_SECONDS = 0.5
#: Seconds between two requests for the states of jobs, by which jobs without a result have ended.
_STATE_SECONDS = 60
#: States of jobs that did not end by themselves.
_LOST = ("PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "TIMEOUT", "REQUEUED")


class SlurmLauncher(Launcher):
    """Rows as an array of SLURM jobs.

    SLURM does not submit a job again by itself. The suite does, so that a row has one job at a
    time.
    """

    def __init__(self, config: SlurmArgs, suite: SuiteInfo) -> None:
        super().__init__(config, suite)
        self._jobs: dict[str, Any] = {}  # jobs of submitit, by row
        self._executor: Any = None

    @classmethod
    def row_machine(cls, config: SlurmArgs) -> RowMachine:
        """Return what a row may use."""
        return RowMachine(config.cpus, config.gpus)

    @property
    def _is_local(self) -> bool:
        return bool(self.config.cluster == "local")

    def open(self) -> None:
        """Prepare the submission.

        Raises:
            RunError: submitit finds no SLURM, or refuses an option.
        """
        import submitit

        logs = Path(self.config.logs).expanduser() if self.config.logs else None
        folder = os.path.abspath(logs or self.suite.folder / "slurm")
        try:
            self._executor = submitit.AutoExecutor(folder, cluster=self.config.cluster)
            self._executor.update_parameters(**self._parameters())
        except (RuntimeError, ValueError) as error:
            raise RunError(f"SLURM cannot be used: {error}") from error
        if not self._is_local:
            # Shared by all jobs of submitit in this process; its default is ten minutes.
            submitit.SlurmJob.watcher._delay_s = _STATE_SECONDS

    def _parameters(self) -> dict[str, Any]:
        config = self.config
        given = {
            "name": f"lightly-{self.suite.name}",
            "timeout_min": config.time,
            "cpus_per_task": config.cpus,
            "gpus_per_node": config.gpus or None,
            "tasks_per_node": 1,
            "slurm_partition": config.partition,
            "slurm_account": config.account,
            "slurm_qos": config.qos,
            "slurm_mem": config.mem,
            "slurm_setup": config.setup or None,
            "slurm_array_parallelism": config.array_parallelism,
            "slurm_signal_delay_s": config.save_seconds,
            "slurm_additional_parameters": {"no-requeue": True, **config.options},
        }
        return {name: value for name, value in given.items() if value is not None}

    def submit(self, jobs: Sequence[RowJob]) -> None:
        """Submit one array with a job for each row.

        Raises:
            RunError: ``sbatch`` refuses it.
        """
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        try:
            found = self._executor.map_array(run_row, jobs)
        except (FailedJobError, FailedSubmissionError, subprocess.CalledProcessError) as error:
            raise RunError(f"the rows cannot be submitted to SLURM: {error}") from error
        self._jobs.update(zip((job.name for job in jobs), found, strict=True))
        ids = ", ".join(sorted({job.job_id.partition("_")[0] for job in found}))
        self.suite.say(f"submitted {len(jobs)} rows as {self.config.cluster} job {ids}")

    def wait(self, seconds: float) -> list[RowEnd]:
        """Return the rows whose jobs have ended."""
        until = time.monotonic() + seconds
        while self._jobs:
            ended = [name for name, job in self._jobs.items() if job.done()]
            left = until - time.monotonic()
            if ended or left <= 0:
                return [self._end(name) for name in ended]
            time.sleep(min(left, _LOOK_SECONDS))
        return []

    def _end(self, name: str) -> RowEnd:
        from submitit.core.utils import FailedJobError, UncompletedJobError

        job = self._jobs.pop(name)
        try:
            end: RowEnd = job.result()
        except (FailedJobError, UncompletedJobError):
            state = str(job.state)
            if state.partition(" ")[0] in _LOST:
                return RowEnd(name, EXIT_INTERRUPTED)
            return RowEnd(name, None, f"job {job.job_id} ended as {state}, see {job.paths.stderr}")
        return end

    def stop(self, names: Sequence[str], how: Stop) -> None:
        """Send the jobs SIGTERM, or cancel them. Jobs that have not started are cancelled."""
        jobs = [self._jobs[name] for name in names if name in self._jobs]
        if not jobs:
            return
        if self._is_local:
            for job in jobs:
                if how == "kill":
                    job.cancel(check=False)
                else:
                    with suppress(ProcessLookupError):
                        os.kill(int(job.job_id), signal.SIGTERM)
            return
        ids = [job.job_id for job in jobs]
        commands = {"kill": [["scancel", *ids]]}
        gently = [["scancel", "--state=PENDING", *ids], ["scancel", "--signal=TERM", *ids]]
        for command in commands.get(how, gently):
            subprocess.run(command, check=False, capture_output=True)

    def close(self) -> None:
        """Cancel the jobs that still run."""
        self.stop(list(self._jobs), "kill")
        self._jobs = {}
