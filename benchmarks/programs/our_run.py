"""A short run of ours: milliseconds of CPU an image of training, or seconds to the first step.

python our_run.py METHOD MODEL SIZE BATCH FOLDER step|start
"""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import suppress

import torch

import lightly_core
from benchmarks.programs.training import FirstStep, StepClock, common_settings, paper, views
from lightly_core.engine.lightning_import import import_lightning

import_lightning()  # as a run does, which has no callback of the user
from lightning.pytorch import Callback  # noqa: E402

if __name__ == "__main__":
    torch.set_num_threads(1)
    METHOD, MODEL, SIZE, BATCH, FOLDER, WHAT = sys.argv[1:]
    CLOCK = StepClock(only_first=WHAT == "start")
    SETTINGS = {
        **common_settings(METHOD, MODEL, BATCH, FOLDER),
        **paper(),
        "transform_args": views(METHOD, SIZE),
        "callbacks": {"knn": None, "signals": None, "report": None},
        "trainer_args": {"callbacks": [CLOCK.callback(Callback)]},
    }
    with tempfile.TemporaryDirectory() as out, suppress(FirstStep):
        lightly_core.pretrain(out=f"{out}/run", **SETTINGS)
    print(json.dumps({"value": CLOCK.value(WHAT, int(BATCH))}))
