"""The same epochs of LightlyTrain, see `our_epochs.py`."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import lightly_train
import torch
from pytorch_lightning import Callback

from benchmarks.programs.lightly_train_run import with_callback
from benchmarks.programs.small_images import SIDE, EpochClock, settings, write_images
from benchmarks.programs.training import precision


def main() -> None:
    """Measure."""
    torch.set_num_threads(1)
    model, workers = sys.argv[1], int(sys.argv[2])
    clock = EpochClock()
    with_callback(clock.callback(Callback))
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder, "images"))
        lightly_train.pretrain(
            out=f"{folder}/run",
            **settings(Path(folder, "images"), model, workers),
            precision=precision(),
            transform_args={"image_size": (SIDE, SIDE)},
        )
    print(json.dumps({"value": clock.value()}))


if __name__ == "__main__":
    main()
