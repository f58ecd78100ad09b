"""A loop by hand with the model, loss, optimizer and views of a run, fed from memory.

python -m benchmarks.programs.plain_loop METHOD MODEL SIZE BATCH FOLDER   ms of CPU an image
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer
from PIL import Image
from torch.utils.data import Dataset

import lightly_core
from benchmarks.programs.training import StepClock, common_settings, paper, views


class Done(Exception):
    """Ends the run in which the loop was built."""


def step_by_hand(trainer: Trainer, module: Any, raw: Any, step: int) -> None:  # noqa: ANN401
    """Take a step with the parts of a run.

    Args:
        trainer: The Trainer of the run.
        module: The module that it trains.
        raw: A batch of the loader.
        step: Steps taken so far.
    """
    method, optimizer = module.method, trainer.optimizers[0]
    batch = module.on_after_batch_transfer(raw, 0)
    half = trainer.precision == "bf16-mixed"
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        loss = method.training_step(batch, step).loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    trainer.lr_scheduler_configs[0].scheduler.step()
    method.after_step(step + 1)


class HandWritten(Callback):
    """Takes steps by hand instead of those of the run.

    Args:
        epochs: Passes over the images.

    Attributes:
        clock: Times of the steps.
    """

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self.clock = StepClock()

    def on_train_start(self, trainer: Trainer, module: Any) -> None:  # noqa: ANN401
        """Take the steps.

        Raises:
            Done: Always.
        """
        loader = module.make_loader(0, 0)
        for epoch in range(self._epochs):
            loader.batch_sampler.set_epoch(epoch)
            for raw in loader:
                step_by_hand(trainer, module, raw, len(self.clock.times))
                self.clock.tick()
        raise Done


class Decoded(Dataset[Any]):
    """The images of a folder, decoded once."""

    def __init__(self, folder: str) -> None:
        self._images = [np.asarray(Image.open(path)) for path in sorted(Path(folder).iterdir())]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._images[index]


def main() -> None:
    """Measure."""
    torch.set_num_threads(1)
    method, model, size, batch, folder = sys.argv[1:]
    settings = common_settings(method, model, batch, folder)
    loop = HandWritten(int(settings["epochs"]))
    settings |= {
        **paper(),
        "data": Decoded(folder),
        "transform_args": views(method, size),
        "callbacks": {"knn": None, "signals": None, "report": None},
        "trainer_args": {"callbacks": [loop]},
    }
    with tempfile.TemporaryDirectory() as out:
        try:
            lightly_core.pretrain(out=f"{out}/run", **settings)
        except Done:
            print(json.dumps({"value": loop.clock.value("step", int(batch))}))


if __name__ == "__main__":
    main()
