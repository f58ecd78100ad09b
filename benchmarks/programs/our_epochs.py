"""Short epochs of ours: CPU seconds of an epoch and of what is between two.

python -m benchmarks.programs.our_epochs MODEL NUM_WORKERS   0: images in memory
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import torch
from lightning.pytorch import Callback

import lightly_core
from benchmarks.programs.small_images import SIDE, EpochClock, settings, write_images
from benchmarks.programs.training import paper


def main() -> None:
    """Measure."""
    torch.set_num_threads(1)
    model, workers = sys.argv[1], int(sys.argv[2])
    clock = EpochClock()
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder, "images"))
        lightly_core.pretrain(
            out=f"{folder}/run",
            **settings(Path(folder, "images"), model, workers),
            **paper(),
            in_memory=workers == 0,
            transform_args={"image_size": SIDE},
            callbacks={"knn": None, "signals": None, "report": None},
            trainer_args={"callbacks": [clock.callback(Callback)]},
        )
    print(json.dumps({"value": clock.value()}))


if __name__ == "__main__":
    main()
