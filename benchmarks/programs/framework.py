"""What a step of a run costs more than the same work in a loop by hand, in CPU milliseconds.

The network and the images are so small that nearly all of a step is the framework. All callbacks
that a run has by default are on.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn
from torch.utils.data import Dataset

import lightly_core
from benchmarks.programs.plain_loop import step_by_hand
from benchmarks.programs.training import paper

BATCH = 8
STEPS = 400


class Tiny(nn.Module):
    """A wrapper of two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1)
        )

    def forward_features(self, x: Tensor) -> dict[str, Tensor]:
        """Return feature maps of images."""
        return {"features": self.body(x)}

    def forward_pool(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the means of feature maps."""
        return {"pooled_features": x["features"].mean((2, 3), keepdim=True)}

    def feature_dim(self) -> int:
        """Return the number of channels."""
        return 8

    def get_model(self) -> nn.Module:
        """Return the network."""
        return self.body


class Noise(Dataset[Tensor]):
    """Images of 8 pixels a side."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        shape = (BATCH * STEPS, 8, 8, 3)
        self._images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).numpy()

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> object:
        return self._images[index]


class Alternating(Callback):
    """Takes a step by hand after each step of the run, and measures both.

    Attributes:
        run: CPU seconds of the steps of the run.
        hand: CPU seconds of the steps by hand.
    """

    def __init__(self) -> None:
        self.run: list[float] = []
        self.hand: list[float] = []

    def on_train_start(self, trainer: Trainer, module: Any) -> None:  # noqa: ANN401
        """Start the clock."""
        self._batches = iter(module.make_loader(0, 0))
        self._since = time.process_time()

    def on_train_batch_end(self, trainer: Trainer, module: Any, *_: object) -> None:  # noqa: ANN401
        """Take a step by hand."""
        now = time.process_time()
        self.run.append(now - self._since)
        step_by_hand(trainer, module, next(self._batches), len(self.hand))
        self._since = time.process_time()
        self.hand.append(self._since - now)

    def value(self) -> float:
        """Return how many milliseconds more a step of the run takes, by the medians."""
        return 1e3 * (statistics.median(self.run) - statistics.median(self.hand))


def main() -> None:
    """Measure an epoch."""
    torch.set_num_threads(1)
    steps = Alternating()
    with tempfile.TemporaryDirectory() as out:
        lightly_core.pretrain(
            out=f"{out}/run",
            data=Noise(),
            model=Tiny(),
            method="simclr",
            **paper(),
            method_args={"hidden_dim": 8, "output_dim": 8},
            transform_args={"image_size": 8},
            epochs=1,
            batch_size=BATCH,
            accelerator="cpu",
            in_memory=True,
            loggers={"tensorboard": None},
            trainer_args={"callbacks": [steps]},
        )
    print(json.dumps({"value": steps.value()}))


if __name__ == "__main__":
    main()
