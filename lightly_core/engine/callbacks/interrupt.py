"""Stops a run that was asked to: finish the step, write `last.ckpt`, then stop."""

from __future__ import annotations

from functools import cache
from typing import Any

import lightning.pytorch as lightning
import torch
import torch.distributed as dist

from lightly_core.engine.callbacks.checkpoint import CheckpointCallback, has_stepped, is_last_batch
from lightly_core.engine.stops import Stops
from lightly_core.errors import RunInterrupted


class ListenCallback(lightning.Callback):
    """Takes the signals back from Lightning; it comes before all callbacks that look at features.

    Args:
        stops: Listens to signals.
    """

    def __init__(self, stops: Stops) -> None:
        self._stops = stops

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Listen again, and spare the question that Lightning asks all processes each step."""
        self._stops.listen()
        # It waits for the device, and asks for a signal that never gets to Lightning.
        loop = trainer.fit_loop.epoch_loop
        if hasattr(loop, "_broadcast_sigterm_tensor"):
            loop._broadcast_sigterm_tensor = _ask_nobody  # type: ignore[method-assign]


def _ask_nobody() -> None:
    """Take the place of Lightning's question."""


class InterruptCallback(lightning.Callback):
    """Ends training with a checkpoint, in all processes after the same step.

    A signal stops the run after the step in which it arrives, among several processes after that
    step or the next. Must be the last callback.

    Args:
        stops: Listens to signals.
        checkpoints: What saves; None where checkpoints are switched off.
    """

    def __init__(self, stops: Stops, checkpoints: CheckpointCallback | None) -> None:
        self._stops = stops
        self._checkpoints = checkpoints
        self._question: Question | None = None

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        batch: object,
        batch_index: int,
    ) -> None:
        """Let steps be finished from now on; ask other processes, which answer during the step."""
        self._stops.begin_training()
        if trainer.world_size > 1 and _may_stop(trainer, batch_index):
            self._question = Question(self._stops.asked, trainer.strategy.root_device)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        outputs: object,
        batch: object,
        batch_index: int,
    ) -> None:
        """Stop if asked, once the optimizer has stepped on all gradients so far."""
        if not _may_stop(trainer, batch_index):
            return
        question, self._question = self._question, None
        if self._stops.asked if question is None else question.answer():
            self._stop(trainer)

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        """Stop if asked during the last batch: a finished epoch is simpler to resume."""
        if trainer.current_epoch + 1 >= (trainer.max_epochs or 0):
            return
        asked = self._stops.asked
        if trainer.world_size > 1:
            asked = Question(asked, trainer.strategy.root_device).answer()
        if asked:
            self._stop(trainer)

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Stop at once from now on: the last checkpoint is written."""
        saved = "go on with resume_interrupted=true" if self._checkpoints else "nothing was saved"
        self._stops.end_training(f"stopped after training, before the end of the run; {saved}")

    def _stop(self, trainer: lightning.Trainer) -> None:
        if self._checkpoints is None:
            raise RunInterrupted("stopped; nothing was saved, since checkpoints are switched off")
        self._checkpoints.save_last(trainer)
        self._stops.let_children_end()
        raise RunInterrupted(
            f"stopped after step {trainer.global_step}; go on with resume_interrupted=true"
        )


def _may_stop(trainer: lightning.Trainer, batch_index: int) -> bool:
    return has_stepped(trainer, batch_index) and not is_last_batch(trainer, batch_index)


class Question:
    """Asks all processes whether one of them was told to stop, without waiting for the device.

    The sum of all flags is on its way while the step is computed. On CUDA it is copied to the host
    on a stream of its own: it is there when the device begins with the step, and the device has the
    whole step still to do while the host reads it.

    Args:
        asked: Whether this process was told to stop.
        device: Its device.
    """

    def __init__(self, asked: bool, device: torch.device) -> None:
        self._flag = torch.full((), float(asked), device=device)  # a copy would wait
        self._copied: torch.cuda.Event | None = None
        self._work: Any = dist.all_reduce(self._flag, async_op=True)
        if device.type == "cuda":
            self._host = torch.empty((), pin_memory=True)
            with torch.cuda.stream(_side_stream(device)):
                self._work.wait()  # the side stream waits
                self._host.copy_(self._flag, non_blocking=True)
                self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
                self._copied.record()

    def answer(self) -> bool:
        """Return whether any process was told to stop; the same in all of them."""
        if self._copied is None:
            self._work.wait()
            return bool(self._flag.item() > 0)
        self._copied.synchronize()
        return bool(self._host.item() > 0)


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
