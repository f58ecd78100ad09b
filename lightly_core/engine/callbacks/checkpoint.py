"""Write `checkpoints/`: `last.ckpt`, and the best or newest few by epoch."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning

from lightly_core.config.options.callbacks import ModelCheckpointArgs
from lightly_core.engine.checkpoint_io import AtomicCheckpointIO, copy_checkpoint
from lightly_core.engine.folder import RunFolder

logger = logging.getLogger(__name__)


def is_last_batch(trainer: lightning.Trainer, batch_index: int) -> bool:
    """Return whether a batch is the last of its epoch."""
    return batch_index + 1 >= trainer.num_training_batches


def has_stepped(trainer: lightning.Trainer, batch_index: int) -> bool:
    """Return whether the optimizer has stepped after this batch, so that no gradient is pending."""
    return (batch_index + 1) % trainer.accumulate_grad_batches == 0 or is_last_batch(
        trainer, batch_index
    )


def _files(trainer: lightning.Trainer) -> AtomicCheckpointIO:
    files = trainer.strategy.checkpoint_io
    assert isinstance(files, AtomicCheckpointIO)  # the Trainer accepts no other beside it
    return files


class CheckpointCallback(lightning.Callback):
    """Save at the end of epochs, every n steps if set, and at the end of training.

    There are always two recent checkpoints, in case one is damaged: `last.ckpt`, and either the
    newest file by epoch or, if that is older, the former `last.ckpt` as `previous.ckpt`.

    While training goes on, a thread writes the files, see `AtomicCheckpointIO`. If it fails, the
    next step raises its error. The last save of a run returns when its files are on the disk.

    Args:
        args: When to save and how many to keep.
        folder: The run folder.
        check: Called before each save in all processes. It raises if nothing may be written.
    """

    def __init__(
        self,
        args: ModelCheckpointArgs,
        folder: RunFolder,
        check: Callable[[lightning.Trainer, lightning.LightningModule], None],
    ) -> None:
        self._args = args
        self._folder = folder
        self._check = check
        self._saved_at = float("-inf")
        self._step_due = False
        #: Score and path of each file kept by epoch, best first.
        self._kept: list[tuple[float, str]] = []

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        outputs: object,
        batch: object,
        batch_index: int,
    ) -> None:
        """Save by steps.

        Raises:
            OSError: An earlier save has failed.
        """
        _files(trainer).raise_failure()
        every = self._args.every_n_train_steps
        if every is None or trainer.global_step % every or not has_stepped(trainer, batch_index):
            return
        if is_last_batch(trainer, batch_index):
            self._step_due = True  # saved as a finished epoch, which is simpler to resume
        else:
            with _files(trainer).in_background(self._args.in_background):
                self.save_last(trainer)

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        """Save by epochs, unless the last save is less than `min_seconds_between` ago."""
        epoch = trainer.current_epoch + 1
        final = epoch == trainer.max_epochs or trainer.should_stop
        step_due, self._step_due = self._step_due, False
        due = epoch % self._args.every_n_epochs == 0
        # Clocks differ between processes, and all of them must take part in saving.
        recent = time.monotonic() - self._saved_at < self._args.min_seconds_between
        if trainer.strategy.broadcast(final or step_due or (due and not recent)):
            # The last save of a run has nothing to overlap with, and needs no copy.
            with _files(trainer).in_background(self._args.in_background and not final):
                self._save_epoch(trainer)

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Wait until all files are on the disk.

        Raises:
            OSError: One of them could not be written.
        """
        _files(trainer).wait()

    def save_last(self, trainer: lightning.Trainer) -> None:
        """Write `last.ckpt`. Every process must call it.

        Raises:
            RunError: A tensor is not finite.
        """
        self._check(trainer, trainer.lightning_module)
        trainer.save_checkpoint(self._folder.last_checkpoint, self._args.save_weights_only)
        self._saved_at = time.monotonic()

    def _save_epoch(self, trainer: lightning.Trainer) -> None:
        name = f"epoch={trainer.current_epoch}-step={trainer.global_step}.ckpt"
        path = self._folder.checkpoints / name
        dropped = self._rank(path, self._score(trainer))
        self.save_last(trainer)
        if not trainer.is_global_zero:
            return
        _files(trainer).then(partial(self._keep, path, dropped))

    def _keep(self, path: Path, dropped: Path | None) -> None:
        """Copy `last.ckpt` to its file by epoch, and remove the one that drops out."""
        if dropped != path:
            self._drop_previous()  # before the copy, which takes its place on the disk
            copy_checkpoint(self._folder.last_checkpoint, path)
            self._folder.previous_checkpoint.unlink(missing_ok=True)
        if dropped is not None:
            dropped.unlink(missing_ok=True)

    def _drop_previous(self) -> None:
        if self._folder.other_checkpoints()[:1] not in ([], [self._folder.previous_checkpoint]):
            self._folder.previous_checkpoint.unlink(missing_ok=True)

    def _score(self, trainer: lightning.Trainer) -> float:
        """Return a number that is smaller for better checkpoints."""
        monitor = self._args.monitor
        if monitor is None:
            return -float(trainer.global_step)
        value = trainer.callback_metrics.get(monitor)
        if value is None:
            logger.warning(
                "callbacks.model_checkpoint.monitor: no metric '%s' so far, known: %s. The "
                "checkpoint of this epoch ranks last.",
                monitor,
                ", ".join(sorted(trainer.callback_metrics)) or "none",
            )
            return float("inf")
        score = -float(value) if self._args.mode == "max" else float(value)
        return float("inf") if math.isnan(score) else score  # nan cannot be sorted

    def _rank(self, path: Path, score: float) -> Path | None:
        """Add a checkpoint to the ranking. Return the one that drops out of it."""
        if self._args.save_top_k == -1:
            return None
        self._kept.append((score, path.name))
        self._kept.sort(key=lambda entry: entry[0])
        if len(self._kept) <= self._args.save_top_k:
            return None
        return path.with_name(self._kept.pop()[1])

    def state_dict(self) -> dict[str, Any]:
        """Return the ranking."""
        return {"kept": [list(entry) for entry in self._kept]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the ranking."""
        self._kept = [(float(score), str(name)) for score, name in state["kept"]]
