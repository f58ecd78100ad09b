"""CPU milliseconds and additional MiB of training steps with a projector of 8192 dimensions.

python wide_step.py METHOD SIZE BATCH

The time is that from the views of a batch to the changed weights, the memory the largest during
the steps beyond that before them. Only settings that the commit of the comparison has are used.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import Callback
from PIL import Image

import lightly_core
from benchmarks.programs.memory import PeakMemory
from benchmarks.programs.training import paper

STEPS = 5


class Done(Exception):
    """Ends the run after the last step, before checkpoints are written."""


class Clock(Callback):
    """Measures the steps; the first two allocate the state of the optimizer and warm up."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.memory: PeakMemory | None = None

    def on_train_batch_start(self, *args: object, **kwargs: object) -> None:
        """Start before the method gets the views."""
        self.memory = self.memory or PeakMemory()
        self.start = time.process_time()

    def on_train_batch_end(self, *args: object, **kwargs: object) -> None:
        """Stop after the optimizer's step."""
        self.times.append(time.process_time() - self.start)
        if len(self.times) == STEPS:
            raise Done

    def values(self) -> dict[str, float]:
        """Return milliseconds a step, and MiB."""
        assert self.memory is not None
        memory = self.memory.mebibytes()
        return {"time": statistics.median(self.times[2:]) * 1e3, "memory": memory}


def write_images(folder: Path, number: int, size: int) -> None:
    """Write small images of random colours."""
    rng = np.random.default_rng(0)
    for index in range(number):
        pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:05}.png", compress_level=1)


def main(method: str, size: str, batch: str) -> None:
    """Take the steps on one core."""
    torch.set_num_threads(1)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder, "images")
        images.mkdir()
        write_images(images, STEPS * int(batch), int(size))
        with contextlib.suppress(Done):
            lightly_core.pretrain(
                out=f"{folder}/run",
                data=str(images),
                model="torchvision/resnet18",
                method=method,
                **paper(),
                transform_args={"image_size": int(size)},
                optim="lars",
                batch_size=int(batch),
                epochs=1,
                num_workers=0,
                accelerator="cpu",
                devices=1,
                loggers={"tensorboard": None},
                callbacks={"signals": None},
                trainer_args={"callbacks": [clock]},
                seed=0,
            )
    print(json.dumps(clock.values()))


if __name__ == "__main__":
    main(*sys.argv[1:])
