"""Stop a run after a signal: finish the step, write `last.ckpt`, then stop."""

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
    """Restore our signal handlers after Lightning has set its own.

    Place it before all callbacks that compute features.

    Args:
        stops: The signal handlers of the run.
    """

    def __init__(self, stops: Stops) -> None:
        self._stops = stops

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Set the handlers again, and disable Lightning's broadcast of SIGTERM in each step."""
        self._stops.listen()
        # The broadcast waits for the device, and Lightning never gets the signal.
        loop = trainer.fit_loop.epoch_loop
        if hasattr(loop, "_broadcast_sigterm_tensor"):
            loop._broadcast_sigterm_tensor = _no_broadcast  # type: ignore[method-assign]


def _no_broadcast() -> None:
    """Replace Lightning's broadcast of SIGTERM."""


class InterruptCallback(lightning.Callback):
    """End training with a checkpoint, in all processes after the same step.

    A signal stops the run after the step in which it arrives. With several processes it may be the
    next step. This must be the last callback.

    Args:
        stops: The signal handlers of the run.
        checkpoints: The callback that saves; None if checkpoints are off.
    """

    def __init__(self, stops: Stops, checkpoints: CheckpointCallback | None) -> None:
        self._stops = stops
        self._checkpoints = checkpoints
        self._sum: StopFlagSum | None = None

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        batch: object,
        batch_index: int,
    ) -> None:
        """Let signals wait for the end of the step, and start the sum of stop flags."""
        self._stops.begin_training()
        if trainer.world_size > 1 and _may_stop(trainer, batch_index):
            self._sum = self._flags(trainer)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        outputs: object,
        batch: object,
        batch_index: int,
    ) -> None:
        """Stop if a process got a signal, after the optimizer has used all gradients."""
        if not _may_stop(trainer, batch_index):
            return
        flags, self._sum = self._sum, None
        if self._is_requested(flags):
            self._stop(trainer)

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        """Stop if a signal came during the last batch. A finished epoch is simpler to resume."""
        if trainer.current_epoch + 1 >= (trainer.max_epochs or 0):
            return
        if self._is_requested(self._flags(trainer) if trainer.world_size > 1 else None):
            self._stop(trainer)

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Stop at once from now on, since the last checkpoint is written."""
        saved = "go on with resume_interrupted=true" if self._checkpoints else "nothing was saved"
        self._stops.end_training(f"stopped after training, before the end of the run; {saved}")

    def _flags(self, trainer: lightning.Trainer) -> StopFlagSum:
        stops, device = self._stops, trainer.strategy.root_device
        return StopFlagSum(stops.requested, device, by_ctrl_c=stops.by_ctrl_c)

    def _is_requested(self, flags: StopFlagSum | None) -> bool:
        """Return whether a process got a signal, and note whether it was Ctrl-C."""
        if flags is None:
            return self._stops.requested
        self._stops.by_ctrl_c |= flags.has_ctrl_c()
        return flags.is_positive()

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


#: What Ctrl-C adds to the sum; more than there are processes, and exact in float32.
_CTRL_C = 2.0**20


class StopFlagSum:
    """Sum the stop flags of all processes without waiting for the device.

    The sum is computed during the step. On CUDA a separate stream copies it to the host, so it is
    available when the device starts the step, and the host reads it while the device computes.

    Args:
        requested: Whether this process got a signal to stop.
        device: Device of this process.
        by_ctrl_c: Whether it was Ctrl-C.
    """

    def __init__(self, requested: bool, device: torch.device, *, by_ctrl_c: bool = False) -> None:
        # Not copied from a tensor on the host, which would wait for the device.
        self._flag = torch.full((), float(requested) + _CTRL_C * by_ctrl_c, device=device)
        self._copied: torch.cuda.Event | None = None
        self._work: Any = dist.all_reduce(self._flag, async_op=True)
        if device.type == "cuda":
            self._host = torch.empty((), pin_memory=True)
            with torch.cuda.stream(_side_stream(device)):
                self._work.wait()  # the side stream waits
                self._host.copy_(self._flag, non_blocking=True)
                self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
                self._copied.record()

    def is_positive(self) -> bool:
        """Return whether any process got a signal to stop, the same on all processes."""
        return self._value() > 0

    def has_ctrl_c(self) -> bool:
        """Return whether any process got Ctrl-C, the same on all processes."""
        return self._value() >= _CTRL_C

    def _value(self) -> float:
        if self._copied is None:
            self._work.wait()
            return float(self._flag.item())
        self._copied.synchronize()
        return float(self._host.item())


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
