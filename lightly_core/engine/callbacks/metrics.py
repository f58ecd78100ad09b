"""Read the collected metrics every few steps and pass them to the loggers."""

from __future__ import annotations

import time

import lightning.pytorch as lightning
import torch

from lightly_core.config.options.callbacks import CallbacksArgs
from lightly_core.contracts import Batch
from lightly_core.data.views.two_stage import augmentation_grid
from lightly_core.engine.callbacks.finite import FiniteCallback
from lightly_core.engine.loggers.fanout import Fanout
from lightly_core.engine.memory import peak_process_memory
from lightly_core.engine.module import TrainingModule
from lightly_core.engine.monitors import NOT_MONITORED
from lightly_core.optim.build import scheduled_lr
from lightly_core.parts.sharding import is_sharded, local, sum_over_shards


class MetricsCallback(lightning.Callback):
    """Log losses, learning rate, gradient norm, speed and the time spent waiting for data.

    The device is waited for once per logging interval, never per step.

    Args:
        loggers: Where metrics go; empty on all processes but the first.
        callbacks: Options of the callbacks, which switch optional metrics on.
        every_n_steps: Length of the interval in optimizer steps.
        finite: Checks once per interval whether everything was finite.
    """

    def __init__(
        self,
        loggers: Fanout,
        callbacks: CallbacksArgs,
        every_n_steps: int,
        finite: FiniteCallback,
    ) -> None:
        self._loggers = loggers
        self._callbacks = callbacks
        self._every = every_n_steps
        self._finite = finite
        self._lr = 0.0
        self._images = 0
        self._waited = 0.0
        self._interval_start = 0.0
        self._batch_end = 0.0
        self._grad_norm: torch.Tensor | None = None
        self._last_logged = -1
        self._grid_done = False

    def on_train_start(self, trainer: lightning.Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        """Start the clocks."""
        self._last_logged = trainer.global_step
        self._grid_done = trainer.global_step > 0
        self._restart_clocks()

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        """Count the time from here to the first batch as waiting for data."""
        self._batch_end = time.perf_counter()

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        module: TrainingModule,  # type: ignore[override]
        batch: Batch,
        batch_index: int,
    ) -> None:
        """Add the time since the last batch ended, and log the first batch as an image."""
        self._waited += time.perf_counter() - self._batch_end
        if not self._grid_done:
            self._grid_done = True
            normalize = module.resolved.transform.normalize
            if trainer.is_global_zero:
                grid = augmentation_grid(batch.views, normalize.mean, normalize.std)
                self._loggers.log_image("augmentations", grid, 0)

    def on_before_optimizer_step(
        self,
        trainer: lightning.Trainer,
        module: TrainingModule,  # type: ignore[override]
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """Read learning rate and gradient norm in steps that will be logged."""
        if (trainer.global_step + 1) % self._every == 0:
            # After the step, Lightning has set the learning rate of the next one.
            self._lr = scheduled_lr(optimizer)
            gradients = [p.grad for p in module.parameters() if p.grad is not None]
            found = torch._foreach_norm(local(gradients))
            total = torch.stack([norm.float() for norm in found]).norm()
            if gradients and is_sharded(gradients[0]):
                total = sum_over_shards(total.square(), gradients).sqrt()
            self._grad_norm = total

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: TrainingModule,  # type: ignore[override]
        outputs: object,
        batch: Batch,
        batch_index: int,
    ) -> None:
        """Log when an interval is over."""
        self._images += len(batch.indices) * trainer.world_size
        step = trainer.global_step
        if step % self._every == 0 and step != self._last_logged:
            self._last_logged = step
            self._log(trainer, module, step)
        self._batch_end = time.perf_counter()

    def _log(self, trainer: lightning.Trainer, module: TrainingModule, step: int) -> None:
        if self._grad_norm is not None:
            module.buffer.add({"grad_norm": self._grad_norm})
            self._grad_norm = None
        metrics = _mean_over_processes(trainer, module.buffer.read())
        elapsed = max(time.perf_counter() - self._interval_start, 1e-9)
        metrics["epoch"] = float(trainer.current_epoch)
        if self._callbacks.learning_rate_monitor is not None:
            metrics["lr"] = self._lr
        metrics["images_per_second"] = self._images / elapsed
        metrics["data_wait"] = min(self._waited / elapsed, 1.0)
        if self._callbacks.device_stats_monitor is not None:
            metrics.update(_memory(module.device))
        # Other processes have no loggers, but their callbacks may monitor a metric.
        self._loggers.log_metrics(metrics, step)
        self._restart_clocks()
        self._finite.check(trainer, module, state=False)

    def _restart_clocks(self) -> None:
        self._images, self._waited = 0, 0.0
        self._interval_start = self._batch_end = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        """Pass the newest values to callbacks that monitor a metric."""
        for name, value in self._loggers.latest.items():
            if name not in NOT_MONITORED and name not in self._loggers.foreign:
                module.log(name, torch.tensor(value), logger=False)


def _mean_over_processes(trainer: lightning.Trainer, metrics: dict[str, float]) -> dict[str, float]:
    if trainer.world_size == 1:
        return metrics
    values = torch.tensor(list(metrics.values()), device=trainer.strategy.root_device)
    mean = trainer.strategy.reduce(values, reduce_op="mean")
    return dict(zip(metrics, mean.tolist(), strict=True))


def _memory(device: torch.device) -> dict[str, float]:
    peak = peak_process_memory()
    memory = {} if peak is None else {"memory/process_gib": peak / 2**30}
    if device.type == "cuda":
        memory["memory/device_gib"] = torch.cuda.max_memory_allocated(device) / 2**30
    return memory
