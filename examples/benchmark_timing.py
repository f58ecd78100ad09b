"""How long training takes, and how many epochs fit in a given time. Used by other examples."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import lightning.pytorch as lightning
import torch

import lightly_core

#: Steps before the clock starts: buffers are made, workers fill their queue.
_WARM_UP = 3


class Stopwatch(lightning.Callback):
    """Measures training from its first to its last step, checkpoints between included.

    Args:
        each_step: Also note when each step ends; a GPU is then waited for.
        clock: Seconds; None: those on the wall.

    Attributes:
        seconds: Of the whole training; 0 where there was none.
        num_steps: Optimizer steps.
        step_ends: Seconds of a clock, for each step.
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
        """Start."""
        self._start = self.clock()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: object
    ) -> None:
        """Note the time if wanted."""
        if self.each_step:
            self.step_ends.append(self.clock())

    def on_train_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Stop."""
        self.seconds = self.clock() - self._start
        self.num_steps = trainer.global_step


def seconds_per_step(
    settings: dict[str, Any], num_steps: int = 15, clock: Callable[[], float] | None = None
) -> float:
    """Do some steps of a run and return the mean time of one.

    Args:
        settings: Arguments of `lightly_core.pretrain` without ``trainer_args``.
        num_steps: How many are timed.
        clock: As in `Stopwatch`.

    Raises:
        ValueError: The images are too few for two steps that can be timed.
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
    # Not the median: workers may hand over batches in bursts.
    return (ends[-1] - ends[0]) / (len(ends) - 1)


def epochs_for(minutes: float, step_seconds: float, steps_per_epoch: int) -> int:
    """Return how many whole epochs come nearest to a time; at least one."""
    return max(1, round(60 * minutes / (step_seconds * steps_per_epoch)))


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
