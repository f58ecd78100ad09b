"""What the two programs of short epochs have in common: images, settings, and the clock.

An epoch has three steps, so that its beginning and its end cost as much as the steps.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

EPOCHS = 7
NUMBER, SIDE, BATCH = 500, 32, 128


def write_images(folder: Path) -> None:
    """Write 500 smooth images of 32 pixels a side as PNG."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(NUMBER):
        small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        small.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / f"{index:03}.png")


def settings(folder: Path, model: str, num_workers: int) -> dict[str, Any]:
    """Return the settings that have the same name and value in both tools."""
    return {
        "method": "simclr",
        "model": model,
        "data": str(folder),
        "batch_size": BATCH,
        "epochs": EPOCHS,
        "num_workers": num_workers,
        "accelerator": "cpu",
        "loggers": {"tensorboard": None},
    }


class EpochClock:
    """CPU seconds of this process and of the workers, at the first step of each epoch."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def callback(self, base: type) -> Any:  # noqa: ANN401 - a subclass of `base`
        """Return a callback that records the times.

        Args:
            base: The class ``Callback`` of the Lightning that runs the training.
        """

        def on_train_batch_end(
            _: object, trainer: object, module: object, outputs: object, batch: object, index: int
        ) -> None:
            if index == 0:
                self.times.append(cpu_seconds())

        return type("Clock", (base,), {"on_train_batch_end": on_train_batch_end})()

    def value(self) -> float:
        """Return the seconds of an epoch with its end, without the first."""
        return (self.times[-1] - self.times[1]) / (len(self.times) - 2)


def cpu_seconds() -> float:
    """Return the CPU seconds of this process, of its ended children, and of those that run."""
    times = os.times()
    ended = times.children_user + times.children_system
    return time.process_time() + ended + sum(map(_seconds_of, _children(os.getpid())))


def _children(process: int) -> list[int]:
    """Return the processes that a process has started, and those that they have started."""
    found: list[int] = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *_children(child)]
    return found


def _seconds_of(process: int) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # has just ended
        return 0.0
    ticks = sum(map(int, fields[11:15]))  # its own, and those of its ended children
    return ticks / os.sysconf("SC_CLK_TCK")
