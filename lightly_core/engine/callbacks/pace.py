"""Log once, after the first steps, how long the run will take and how much memory it needs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import lightning.pytorch as lightning
import torch

from lightly_core.engine.memory import peak_process_memory
from lightly_core.engine.module import TrainingModule
from lightly_core.engine.plan.pace import LONG, Pace
from lightly_core.engine.plan.size import bytes_text

logger = logging.getLogger(__name__)

#: Optimizer steps that are not measured: they start workers, allocate memory and compile.
WARMUP = 3
#: Optimizer steps, and seconds, that are measured at least.
LEAST_STEPS, LEAST_SECONDS = 20, 2.0


class PaceCallback(lightning.Callback):
    """Measures the first steps.

    It never waits for the device. Time is read where the device has been waited for: on a CPU after
    each step, on other devices where metrics are logged. Place it after `MetricsCallback`.

    Args:
        auto_epochs: Whether "auto" chose the number of epochs, so that a shorter run is suggested.
        clock: Returns seconds.
    """

    def __init__(
        self, *, auto_epochs: bool, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._auto_epochs = auto_epochs
        self._clock = clock
        self._first = 0
        self._began: tuple[int, float] | None = None
        self._done = False

    def on_train_start(self, trainer: lightning.Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        """Remember the step at which this session begins."""
        self._first = trainer.global_step
        self._done = not trainer.is_global_zero

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: TrainingModule,  # type: ignore[override]
        outputs: object,
        batch: object,
        batch_index: int,
    ) -> None:
        """Begin or end the measurement where the device has been waited for."""
        step, resolved = trainer.global_step, module.resolved
        waited = module.device.type == "cpu" or step % resolved.log_every_n_steps == 0
        if self._done or not waited or step < self._first + WARMUP:
            return
        now = self._clock()
        if self._began is None:
            self._began = step, now
            return
        steps, seconds = step - self._began[0], now - self._began[1]
        if steps >= LEAST_STEPS and seconds >= LEAST_SECONDS:
            self._done = True
            pace = Pace(
                seconds=seconds / steps,
                images=resolved.effective_batch_size,
                steps_per_epoch=resolved.steps_per_epoch,
            )
            self._report(pace, resolved.total_steps, module.device)

    def _report(self, pace: Pace, total: int, device: torch.device) -> None:
        resumed = self._first > 0
        steps = total - self._first if resumed else total
        text = pace.text(steps, resumed=resumed)
        if self._auto_epochs and not resumed and steps * pace.seconds > LONG:
            text += f"; {pace.first_try()}"
        logger.info("%s", text)
        memory = _memory(device)
        if memory:
            logger.info("Memory at most so far: %s", memory)


def _memory(device: torch.device) -> str:
    if device.type == "cuda":
        used = torch.cuda.max_memory_allocated(device)
        whole = torch.cuda.get_device_properties(device).total_memory
        return f"{bytes_text(used)} of tensors, of {bytes_text(whole)} of the GPU"
    peak = peak_process_memory()
    return "" if peak is None else f"{bytes_text(peak)} of this process"
