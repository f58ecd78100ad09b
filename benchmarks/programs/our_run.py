"""A short run of ours: milliseconds of CPU an image of training, or seconds to the first step.

python our_run.py METHOD MODEL SIZE BATCH FOLDER step|start
"""

from __future__ import annotations

import json
import sys
import tempfile
from typing import Any

import torch
from lightning.pytorch import Callback

import lightly_core
from benchmarks.programs.clock import StepClock

if __name__ == "__main__":
    torch.set_num_threads(1)
    METHOD, MODEL, SIZE, BATCH, FOLDER, WHAT = sys.argv[1:]
    CLOCK = StepClock()
    SETTINGS: dict[str, Any] = {
        "method": METHOD,
        "model": MODEL,
        "data": FOLDER,
        "batch_size": int(BATCH),
        "epochs": 2,
        "num_workers": 0,
        "accelerator": "cpu",
        "transform_args": {"image_size": int(SIZE)},
        "callbacks": {"knn": None, "signals": None, "report": None},
        "loggers": {"tensorboard": None},
        "trainer_args": {"callbacks": [CLOCK.callback(Callback)]},
    }
    with tempfile.TemporaryDirectory() as out:
        lightly_core.pretrain(out=f"{out}/run", **SETTINGS)
    print(json.dumps({"value": CLOCK.value(WHAT, int(BATCH))}))
