"""Writes `exported_models/` while training, so that a long run can be looked at early."""

from __future__ import annotations

import time
from collections.abc import Callable

import lightning.pytorch as lightning

from lightly_core.config.settings import ModelExportArgs


class ExportCallback(lightning.Callback):
    """Exports at the end of epochs; the run itself exports at the very end.

    Args:
        args: How often.
        export: Writes the files.
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
