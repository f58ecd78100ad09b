"""Report the progress of this process to those that wait for it."""

from __future__ import annotations

import lightning.pytorch as lightning

from lightly_core.engine.peer_watch import PeerWatch


class PeerCallback(lightning.Callback):
    """Start the exchange of signs of life, and note in which phase of the training this process is.

    This must be the first callback, so that a phase is noted before the work in it begins.

    Args:
        watch: Watches the other processes.
    """

    def __init__(self, watch: PeerWatch) -> None:
        self._watch = watch

    def setup(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, stage: str
    ) -> None:
        """Connect to the other processes."""
        self._watch.connect()

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Note the phase before the first step."""
        self._watch.progress("before the first step")

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        """Note the phase before the first batch of an epoch."""
        self._watch.progress(f"waiting for the first batch of epoch {trainer.current_epoch + 1}")

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        batch: object,
        batch_index: int,
    ) -> None:
        """Note the phase of a step."""
        self._watch.progress(f"in batch {batch_index} of epoch {trainer.current_epoch + 1}")

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        outputs: object,
        batch: object,
        batch_index: int,
    ) -> None:
        """Note the phase between two steps."""
        self._watch.progress(f"after batch {batch_index} of epoch {trainer.current_epoch + 1}")

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        """Note the phase at the end of an epoch."""
        self._watch.progress(f"at the end of epoch {trainer.current_epoch + 1}")

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Note the phase after the last step."""
        self._watch.progress("after the last step")

    def on_exception(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, error: BaseException
    ) -> None:
        """Report an error before Lightning releases its resources, which may wait."""
        self._watch.note(error)
