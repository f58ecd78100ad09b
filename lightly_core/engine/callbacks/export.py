"""Write `exported_models/` during training, so that a long run can be evaluated early."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning

from lightly_core.config.options.callbacks import ModelCheckpointArgs, ModelExportArgs
from lightly_core.engine.loggers.fanout import Fanout

logger = logging.getLogger(__name__)


class ExportCallback(lightning.Callback):
    """Export at the end of epochs. The run itself exports after training.

    Args:
        args: How often to export.
        export: Function that writes the files.
    """

    def __init__(self, args: ModelExportArgs, export: Callable[[], object]) -> None:
        self._args = args
        self._export = export
        self._exported_at = time.monotonic()

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        """Export when enough epochs and enough time have passed."""
        due = (trainer.current_epoch + 1) % self._args.every_n_epochs == 0
        recent = time.monotonic() - self._exported_at < self._args.min_seconds_between
        if trainer.is_global_zero and due and not recent:
            self._exported_at = time.monotonic()
            self._export()


class BestExportCallback(lightning.Callback):
    """Export at the end of each epoch in which the monitored metric is the best so far.

    Only a value that was measured in the epoch counts, since an older one belongs to other weights.
    Place the callback after those that measure and before the checkpoints, which hold its state.

    Args:
        args: The metric, and whether larger or smaller values are better.
        loggers: Record when a metric was measured.
        export: Function that writes the files.

    Attributes:
        best: Value of the exported weights, None before the first export.
        epoch: Epoch after which they were exported.
        paths: The exported files.
    """

    def __init__(
        self, args: ModelCheckpointArgs, loggers: Fanout, export: Callable[[], list[Path]]
    ) -> None:
        self.monitor = str(args.monitor)
        self._sign = 1.0 if args.mode == "max" else -1.0
        self._loggers = loggers
        self._export = export
        self._last_step: int | None = None
        self.best: float | None = None
        self.epoch = 0
        self.paths: tuple[Path, ...] = ()

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Ignore values that were measured before training or before a resume."""
        self._last_step = self._loggers.latest_step.get(self.monitor)

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        """Export if the metric is new and the best."""
        found = trainer.callback_metrics.get(self.monitor)
        # The loggers do not have the metrics of the user's own callbacks.
        step = self._loggers.latest_step.get(self.monitor, trainer.global_step)
        if found is None or step == self._last_step:
            return
        self._last_step = step
        value = float(found)
        if not math.isfinite(value):
            return
        if self.best is not None and self._sign * value <= self._sign * self.best:
            return
        self.best, self.epoch = value, trainer.current_epoch + 1
        if trainer.is_global_zero:
            self.paths = tuple(self._export())
            logger.info("Best %s so far, %.4g: exported.", self.monitor, value)

    def state_dict(self) -> dict[str, Any]:
        """Return the best value and the names of its files."""
        return {
            "monitor": self.monitor,
            "best": self.best,
            "epoch": self.epoch,
            "paths": [str(path) for path in self.paths],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them, unless another metric is monitored now."""
        if state["monitor"] == self.monitor:
            self.best, self.epoch = state["best"], state["epoch"]
            self.paths = tuple(Path(path) for path in state["paths"])
