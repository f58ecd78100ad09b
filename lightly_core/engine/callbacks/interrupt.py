"""Ctrl-C and SIGTERM: finish the step, write `last.ckpt`, then stop."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType
from typing import Any

import lightning.pytorch as lightning
import torch

from lightly_core.engine.callbacks.checkpoint import CheckpointCallback, has_stepped, is_last_batch
from lightly_core.errors import RunInterrupted

logger = logging.getLogger(__name__)


class InterruptCallback(lightning.Callback):
    """Turns the first signal into an orderly stop; a second Ctrl-C stops at once.

    Args:
        checkpoints: What saves; None where checkpoints are switched off.
        check_every: Steps between the questions among several processes whether one of them was
            told to stop (asking costs a message).
    """

    def __init__(self, checkpoints: CheckpointCallback | None, check_every: int) -> None:
        self._checkpoints = checkpoints
        self._check_every = check_every
        self._asked = False
        self._previous: dict[int, Any] = {}

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Listen to the signals."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._asked = True
        logger.info("Stopping after this step. Press Ctrl-C again to stop at once, unsaved.")

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        outputs: object,
        batch: object,
        batch_index: int,
    ) -> None:
        """Stop if asked, once the optimizer has stepped on all gradients so far."""
        if (
            has_stepped(trainer, batch_index)
            and not is_last_batch(trainer, batch_index)
            and self._anyone_asked(trainer)
        ):
            self._stop(trainer)

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        """Stop if asked during the last batch: a finished epoch is simpler to resume."""
        if trainer.current_epoch + 1 < (trainer.max_epochs or 0) and self._anyone_asked(trainer):
            self._stop(trainer)

    def _stop(self, trainer: lightning.Trainer) -> None:
        if self._checkpoints is None:
            raise RunInterrupted("stopped; nothing was saved, since checkpoints are switched off")
        self._checkpoints.save_last(trainer)
        raise RunInterrupted(
            f"stopped after step {trainer.global_step}; go on with resume_interrupted=true"
        )

    def _anyone_asked(self, trainer: lightning.Trainer) -> bool:
        if trainer.world_size == 1:
            return self._asked
        if trainer.global_step % self._check_every:
            return False
        flag = torch.tensor(float(self._asked), device=trainer.strategy.root_device)
        return bool(trainer.strategy.reduce(flag, reduce_op="sum") > 0)

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Give the signals back."""
        self._restore()

    def on_exception(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, error: BaseException
    ) -> None:
        """Give the signals back."""
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
