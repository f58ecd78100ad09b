"""Show the progress of a run: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time

import lightning.pytorch as lightning
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from lightly_core.engine.loggers.fanout import Fanout
from lightly_core.streams import is_terminal

logger = logging.getLogger(__name__)

#: Seconds between plain lines.
LINE_INTERVAL = 15.0


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
        self._bar: Progress | None = None
        self._line_at = 0.0
        self._started = 0.0
        self._first_step = 0

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Start the bar or the lines."""
        self._started = self._line_at = time.monotonic()
        self._first_step = trainer.global_step
        if trainer.is_global_zero and is_terminal(sys.stdout):
            self._bar = Progress(
                TextColumn("epoch {task.fields[epoch]}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[metrics]}"),
                TimeElapsedColumn(),
                TextColumn("eta"),
                TimeRemainingColumn(),
                refresh_per_second=4,
            )
            self._task = self._bar.add_task(
                "train", total=self._total, completed=trainer.global_step, epoch=1, metrics=""
            )
            self._bar.start()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        outputs: object,
        batch: object,
        batch_index: int,
    ) -> None:
        """Update the bar, or write a line every `LINE_INTERVAL` seconds."""
        if not trainer.is_global_zero:
            return
        step, epoch = trainer.global_step, trainer.current_epoch + 1
        if self._bar is not None:
            self._bar.update(self._task, completed=step, epoch=epoch, metrics=self._metrics_text())
        elif time.monotonic() - self._line_at > LINE_INTERVAL:
            self._line_at = time.monotonic()
            logger.info(
                "epoch %d/%s  step %d/%d  %s  eta %s",
                epoch,
                trainer.max_epochs,
                step,
                self._total,
                self._metrics_text(),
                self._eta(step),
            )

    def _metrics_text(self) -> str:
        latest = self._loggers.latest
        if "train_loss" not in latest:
            return ""
        return (
            f"loss {latest['train_loss']:.4f}  {latest['images_per_second']:.0f} img/s  "
            f"data wait {latest['data_wait']:.0%}"
        )

    def _eta(self, step: int) -> str:
        done = max(step - self._first_step, 1)
        seconds = (time.monotonic() - self._started) / done * (self._total - step)
        minutes, seconds = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02}"

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Stop the bar."""
        self._close()

    def on_exception(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, error: BaseException
    ) -> None:
        """Stop the bar."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
