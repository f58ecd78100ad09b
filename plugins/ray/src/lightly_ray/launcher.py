"""Rows as tasks of a Ray cluster."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

from lightly_core.benchmarking.files import EXIT_INTERRUPTED
from lightly_core.contracts.launcher import Launcher, RowEnd, RowJob, RowMachine, Stop, SuiteInfo
from lightly_core.errors import RunError
from lightly_ray.config import RayArgs
from lightly_ray.task import run_row
from lightly_ray.temporary import refuse_folder_in_environment

#: Seconds between two looks at the machines of the cluster.
_LOOK_SECONDS = 5.0


class RayLauncher(Launcher):
    """Rows as tasks of a Ray cluster. Ray runs a row elsewhere if its machine is lost."""

    def __init__(self, config: RayArgs, suite: SuiteInfo) -> None:
        super().__init__(config, suite)
        self._tasks: dict[str, Any] = {}  # references of Ray, by row
        self._connected = False
        self._looked = 0.0
        self._too_small_since: float | None = None

    @classmethod
    def row_machine(cls, config: RayArgs) -> RowMachine:
        """Return what a row may use."""
        return RowMachine(max(1, math.ceil(config.num_cpus)), math.ceil(config.num_gpus))

    def open(self) -> None:
        """Connect to the cluster, or start one, and look for a machine that can run a row.

        Raises:
            RunError: The cluster cannot be reached, or no machine is large enough.
        """
        import ray

        if not ray.is_initialized():
            self._connect()
        until = time.monotonic() + self._patience
        while (problem := self._too_small()) is not None:
            if time.monotonic() >= until:
                raise RunError(problem)
            time.sleep(1.0)

    @property
    def _patience(self) -> float:
        """Seconds to wait for a machine; a cluster of this machine does not grow."""
        return 0.0 if self.config.address is None else float(self.config.resource_timeout)

    def _connect(self) -> None:
        import ray

        address = self.config.address
        if address is None:
            refuse_folder_in_environment()
        local = {"include_dashboard": False} if address is None else {}
        try:
            ray.init(
                address="local" if address is None else address,
                log_to_driver=False,
                logging_level=logging.WARNING,
                **local,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            where = "cannot be started" if address is None else f"at '{address}' cannot be reached"
            raise RunError(
                f"Ray {where}: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
                "\n  `ray status` shows the cluster of this machine; without launcher_args.address "
                "one is started for the suite"
            ) from error
        self._connected = True

    def _too_small(self) -> str | None:
        """Return why no machine can ever run a row, or None."""
        import ray

        wanted = {"CPU": self.config.num_cpus, "GPU": self.config.num_gpus}
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if any(all(one.get(k, 0.0) >= v for k, v in wanted.items()) for one in machines):
            return None
        have = "; ".join(
            f"{one.get('CPU', 0.0):g} CPUs and {one.get('GPU', 0.0):g} GPUs" for one in machines
        )
        return (
            f"a row asks for {wanted['CPU']:g} CPUs and {wanted['GPU']:g} GPUs, and no machine of "
            f"the Ray cluster has them (machines: {have or 'none'})\n  lower "
            "launcher_args.num_cpus or launcher_args.num_gpus, or add a machine; "
            "launcher_args.resource_timeout waits for one"
        )

    def submit(self, jobs: Sequence[RowJob]) -> None:
        """Submit a task for each row."""
        import ray

        task = ray.remote(
            num_cpus=self.config.num_cpus,
            num_gpus=self.config.num_gpus,
            max_retries=self.config.max_retries,
        )(run_row)
        for job in jobs:
            name = f"{self.suite.name}/{job.name}"
            self._tasks[job.name] = task.options(name=name).remote(job)

    def wait(self, seconds: float) -> list[RowEnd]:
        """Return the rows whose tasks have ended."""
        import ray

        if not self._tasks:
            return []
        found, _ = ray.wait(
            list(self._tasks.values()), num_returns=1, timeout=seconds, fetch_local=False
        )
        ends = [self._end(name) for name in list(self._tasks) if self._tasks[name] in found]
        return ends or list(self._hopeless())

    def _end(self, name: str) -> RowEnd:
        import ray

        reference = self._tasks.pop(name)
        try:
            end: RowEnd = ray.get(reference)
        except (ray.exceptions.TaskCancelledError, KeyboardInterrupt):
            return RowEnd(name, EXIT_INTERRUPTED)
        except ray.exceptions.RayError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
            # The last line of a traceback is the error; other errors begin with it.
            reason = lines[-1 if isinstance(error, ray.exceptions.RayTaskError) else 0]
            return RowEnd(name, None, f"Ray lost the row: {type(error).__name__}: {reason}")
        return end

    def _hopeless(self) -> Iterator[RowEnd]:
        """Yield the end of all rows if no machine can run one any more."""
        import ray

        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        problem = self._too_small()
        if problem is None:
            self._too_small_since = None
            return
        self._too_small_since = self._too_small_since or self._looked
        if self._looked - self._too_small_since < self.config.resource_timeout:
            return
        for name in list(self._tasks):
            ray.cancel(self._tasks.pop(name), force=True)
            yield RowEnd(name, None, problem)

    def stop(self, names: Sequence[str], how: Stop) -> None:
        """Interrupt the tasks of rows, or kill them."""
        import ray

        for name in names:
            if name in self._tasks:
                ray.cancel(self._tasks[name], force=how == "kill")

    def close(self) -> None:
        """Kill the tasks that still run. A cluster that was started here is shut down."""
        if self._connected or self._tasks:
            import ray

            self.stop(list(self._tasks), "kill")
            self._tasks = {}
            if self._connected:
                ray.shutdown()
                self._connected = False
