"""Seconds that training waits for a checkpoint of 100 million weights with AdamW, by the clock.

python checkpoint.py save|copy. `copy` is the time of a copy of the same tensors to new memory. The
time of the clock is measured, because a thread and the disk also take time in which training waits.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import lightly_core
from benchmarks.programs.training import has_report, paper
from lightly_core.engine.callbacks.checkpoint import CheckpointCallback

WIDTH = 10_000
NARROW = 8
EPOCHS = 4


class Wide(nn.Module):
    """A network whose weights are nearly all in one layer of 10,000 x 10,000."""

    def __init__(self) -> None:
        super().__init__()
        widths = ((3, WIDTH, 16), (WIDTH, WIDTH, 1), (WIDTH, NARROW, 1))
        self.body = nn.Sequential(*(nn.Conv2d(old, new, size, size) for old, new, size in widths))

    def forward_features(self, x: Tensor) -> dict[str, Tensor]:  # noqa: D102
        return {"features": self.body(x)}

    def forward_pool(self, x: Any) -> dict[str, Tensor]:  # noqa: ANN401, D102
        return {"pooled_features": x["features"].mean((2, 3), keepdim=True)}

    def feature_dim(self) -> int:  # noqa: D102
        return NARROW

    def get_model(self) -> nn.Module:  # noqa: D102
        return self.body


class WaitForThread(lightning.Callback):
    """Let the thread of the last save end before the next save, as in epochs of usual length."""

    def on_train_batch_end(self, trainer: lightning.Trainer, *args: object) -> None:  # noqa: D102
        wait = getattr(trainer.strategy.checkpoint_io, "wait", None)
        if wait is not None:
            wait()


def seconds_of_saves() -> list[float]:
    """Train a few epochs of a step, and return how long each save at the end of one took."""
    seconds = []
    real = CheckpointCallback._save_epoch

    def timed(self: CheckpointCallback, trainer: lightning.Trainer) -> None:
        begun = time.perf_counter()
        real(self, trainer)
        seconds.append(time.perf_counter() - begun)

    CheckpointCallback._save_epoch = timed  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        images.mkdir()
        for index in range(4):
            noise = np.random.default_rng(index).integers(0, 255, (16, 16, 3)).astype(np.uint8)
            Image.fromarray(noise).save(images / f"{index}.png")
        lightly_core.pretrain(
            out=f"{folder}/run",
            data=str(images),
            model=Wide(),
            method="simclr",
            **paper(),
            method_args={"hidden_dim": 8, "output_dim": 4},
            transform_args={"image_size": 16},
            optim="adamw",
            epochs=EPOCHS,
            batch_size=4,
            num_workers=0,
            precision="32-true",
            accelerator="cpu",
            loggers={"tensorboard": None},
            callbacks={
                **dict.fromkeys(("knn", "signals", "model_export", *(["report"] * has_report()))),
                "model_checkpoint": {"min_seconds_between": 0},
            },
            trainer_args={"callbacks": [WaitForThread()]},
        )
    return seconds[:-1]  # the last one overlaps with no training


def seconds_of_copies() -> list[float]:
    """Return how long copies of as many numbers take: weights and two averages of gradients."""
    tensors = [torch.ones(WIDTH, WIDTH) for _ in range(3)]
    seconds = []
    for _ in range(EPOCHS - 1):
        begun = time.perf_counter()
        copies = [tensor.clone() for tensor in tensors]
        seconds.append(time.perf_counter() - begun)
        del copies
    return seconds


if __name__ == "__main__":
    torch.set_num_threads(1)
    VALUES = seconds_of_copies() if sys.argv[1] == "copy" else seconds_of_saves()
    print(json.dumps({"value": statistics.median(VALUES)}))
