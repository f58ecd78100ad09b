"""The profile of one run: collects, then prints, logs and writes what a step cost."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning.pytorch as lightning

from lightly_core.config.auto.hardware import has_native_bf16
from lightly_core.config.auto.resolve import Resolved
from lightly_core.data.timing import BatchTimes
from lightly_core.engine.folder import write_json
from lightly_core.engine.loggers.fanout import Fanout
from lightly_core.engine.machine import inspect_machine
from lightly_core.engine.module import TrainingModule
from lightly_core.engine.profile.advice import advice
from lightly_core.engine.profile.costs import Made, StepCosts
from lightly_core.engine.profile.profiler import WARMUP, StepProfiler, waits_for

logger = logging.getLogger(__name__)


class ProfileCallback(lightning.Callback):
    """Sets the profiler, and collects the times that the loader has recorded in its batches.

    Args:
        profiler: For the Trainer.
    """

    def __init__(self, profiler: StepProfiler) -> None:
        self._profiler = profiler
        self._times: list[BatchTimes] = []

    def setup(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, stage: str
    ) -> None:
        """Replace the Trainer's profiler, which does nothing."""
        trainer.profiler = self._profiler  # type: ignore[attr-defined]

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        module: TrainingModule,  # type: ignore[override]
        batch: object,
        batch_index: int,
    ) -> None:
        """Keep the times of a batch, unless it is one of the first."""
        if self._profiler.sums.batches == 1:  # also after those of the warm-up were dropped
            self._times.clear()
        if module.batch_times is not None:
            self._times.append(module.batch_times)

    def made(self) -> Made | None:
        """Return the mean of the batches; None: no batch had times."""
        count = len(self._times)
        if not count:
            return None
        pixels = sum(times.pixels for times in self._times)
        images = sum(times.images for times in self._times)
        return Made(
            read=sum(times.read for times in self._times) / count,
            views=sum(times.views for times in self._times) / count,
            megapixels=pixels / max(images, 1) / 1e6,
        )


class RunProfile:
    """Profiles a run if the setting `profile` is on.

    Args:
        resolved: Settings without "auto".

    Attributes:
        profiler: Measures the steps; None if the setting is off.
        callbacks: For the Trainer; empty if the setting is off.
    """

    def __init__(self, resolved: Resolved) -> None:
        self._resolved = resolved
        self._wait = waits_for(str(resolved.run.accelerator))
        self.profiler = StepProfiler(self._wait) if resolved.run.profile else None
        self.callbacks = [] if self.profiler is None else [ProfileCallback(self.profiler)]

    @contextmanager
    def reported(self, trainer: lightning.Trainer, path: Path, loggers: Fanout) -> Iterator[None]:
        """Report after the ``with`` block, which trains, also if it was interrupted.

        Args:
            trainer: The Trainer.
            path: File for the numbers, ``profile.json``.
            loggers: Where the numbers go.
        """
        try:
            yield
        finally:
            if self.profiler is not None and trainer.is_global_zero:
                self._report(self.profiler, path, loggers, trainer.global_step)

    def _report(self, profiler: StepProfiler, path: Path, loggers: Fanout, step: int) -> None:
        """Print the table and what to change first, write them, and log the numbers."""
        costs = self._costs(profiler)
        if not costs.steps:
            logger.info("profile=true: the run was too short, it needs %d steps", WARMUP + 1)
            return
        text = advice(costs)
        logger.info("\n%s\n%s.\n", costs.table(), text)
        write_json(path, {**costs.as_dict(), "advice": text})
        loggers.log_metrics(costs.metrics(), step)

    def _costs(self, profiler: StepProfiler) -> StepCosts:
        resolved, run = self._resolved, self._resolved.run
        machine = inspect_machine()
        processes = 1 if machine.cpus_per_process else resolved.local_devices
        return StepCosts(
            seconds=profiler.sums.mean(),
            steps=profiler.sums.profiled,
            images=resolved.per_device_batch_size,
            made=self.callbacks[0].made(),
            num_workers=int(run.num_workers),
            cpus=machine.cpus // processes,
            device=str(run.accelerator),
            precision=str(run.precision),
            native_bf16=has_native_bf16(run.accelerator, machine),
            opencv=importlib.util.find_spec("cv2") is not None,
            synchronised=self._wait is not None,
        )
