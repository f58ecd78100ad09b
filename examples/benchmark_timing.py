"""Measures the time of training, and the epochs that fit in a time. Used by other examples."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import lightning.pytorch as lightning
import torch

import lightly_core

#: Steps before timing starts. Buffers are allocated, and workers fill their queue.
_WARM_UP = 3


class Stopwatch(lightning.Callback):
    """Measures the time of training from the first to the last step, including checkpoints.

    Args:
        each_step: Also record when each step ends. This synchronises a GPU after each step.
        clock: Function that returns seconds; None: wall-clock time.

    Attributes:
        seconds: Duration of the whole training; 0 without training.
        num_steps: Optimizer steps.
        step_ends: Time of the clock at the end of each step, in seconds.
    """

    def __init__(self, each_step: bool = False, clock: Callable[[], float] | None = None) -> None:
        self.each_step = each_step
        self.clock = clock or _now
        self.seconds = 0.0
        self.num_steps = 0
        self.step_ends: list[float] = []
        self._start = 0.0

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Start timing."""
        self._start = self.clock()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: object
    ) -> None:
        """Record the time if `each_step` is set."""
        if self.each_step:
            self.step_ends.append(self.clock())

    def on_train_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Stop timing."""
        self.seconds = self.clock() - self._start
        self.num_steps = trainer.global_step


def seconds_per_step(
    settings: dict[str, Any], num_steps: int = 15, clock: Callable[[], float] | None = None
) -> float:
    """Run some steps of a training and return the mean time of one in seconds.

    Args:
        settings: Arguments of `lightly_core.pretrain` without ``trainer_args``.
        num_steps: Steps that are timed.
        clock: As in `Stopwatch`.

    Raises:
        ValueError: There are too few images to time two steps.
    """
    watch = Stopwatch(each_step=True, clock=clock)
    limits = {"limit_train_batches": num_steps + _WARM_UP, "callbacks": [watch]}
    lightly_core.pretrain(**{**settings, "epochs": 1, "trainer_args": limits})
    ends = watch.step_ends[_WARM_UP - 1 :]
    if len(ends) < 2:
        raise ValueError(
            f"cannot time a step: an epoch has {watch.num_steps}, expected more than {_WARM_UP}"
            "\n  give more images or a smaller batch, or --epochs in place of --minutes"
        )
    # Not the median, because workers may deliver batches in bursts.
    return (ends[-1] - ends[0]) / (len(ends) - 1)


def epochs_for(minutes: float, step_seconds: float, steps_per_epoch: int) -> int:
    """Return the whole number of epochs whose duration is nearest to a time; at least one."""
    return max(1, round(60 * minutes / (step_seconds * steps_per_epoch)))


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
