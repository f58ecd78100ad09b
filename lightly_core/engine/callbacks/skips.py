"""Record images that could not be read, and warnings of the libraries that read them."""

from __future__ import annotations

import lightning.pytorch as lightning

from lightly_core.contracts import Batch
from lightly_core.data.library_messages import NoteLog
from lightly_core.data.skipped import SkipLog
from lightly_core.engine.module import TrainingModule


class SkipsCallback(lightning.Callback):
    """Collects unreadable images from the batches; too many of them stop the run.

    Warnings of the libraries that read images are written to `train.log`.

    Args:
        log: Counts and records the unreadable images.
    """

    def __init__(self, log: SkipLog) -> None:
        self._log = log
        self._notes = NoteLog()

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        module: TrainingModule,  # type: ignore[override]
        batch: Batch,
        batch_index: int,
    ) -> None:
        """Add the unreadable images and the warnings of this batch."""
        if module.skipped:
            self._log.add(module.skipped)
        if module.notes:
            self._notes.add(module.notes)
