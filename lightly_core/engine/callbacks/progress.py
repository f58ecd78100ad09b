"""Show the progress of a run: a bar in a terminal or notebook, plain lines elsewhere."""

from __future__ import annotations

from contextlib import ExitStack

import lightning.pytorch as lightning

from lightly_core.engine.loggers.fanout import Fanout
from lightly_core.progress import Task, progress


class ProgressCallback(lightning.Callback):
    """Shows steps, loss, speed, time spent waiting for data and remaining time.

    It reads what was logged last, so showing progress never waits for the device.

    Args:
        loggers: The loggers, which keep the newest metrics.
        total_steps: Optimizer steps of the whole run.
    """

    def __init__(self, loggers: Fanout, total_steps: int) -> None:
        self._loggers = loggers
        self._total = total_steps
        self._shown = ExitStack()
        self._task: Task | None = None

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Start the bar or the lines."""
        if trainer.is_global_zero:
            bar = progress("Training", self._total, unit="steps", done=trainer.global_step)
            self._task = self._shown.enter_context(bar)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        outputs: object,
        batch: object,
        batch_index: int,
    ) -> None:
        """Update what is shown."""
        if self._task is not None:
            self._task.what = f"Epoch {trainer.current_epoch + 1} of {trainer.max_epochs}"
            self._task.note = self._metrics_text()
            self._task.reach(trainer.global_step)

    def _metrics_text(self) -> str:
        latest = self._loggers.latest
        if "train_loss" not in latest:
            return ""
        return (
            f"loss {latest['train_loss']:.4f}, {latest['images_per_second']:.0f} images/s, "
            f"{latest['data_wait']:.0%} waiting for data"
        )

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Remove the bar."""
        self._shown.close()

    def on_exception(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, error: BaseException
    ) -> None:
        """Remove the bar."""
        self._shown.close()
