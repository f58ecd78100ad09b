"""The same run of LightlyTrain, see `our_run.py`."""

from __future__ import annotations

import json
import sys
import tempfile
from typing import Any

import lightly_train
import torch
from pytorch_lightning import Callback, Trainer

from benchmarks.programs.training import StepClock, common_settings

if __name__ == "__main__":
    torch.set_num_threads(1)
    METHOD, MODEL, SIZE, BATCH, FOLDER, WHAT = sys.argv[1:]
    CLOCK = StepClock()
    SETTINGS = {
        **common_settings(METHOD, MODEL, BATCH, FOLDER),
        "precision": "bf16-mixed",
        "transform_args": {"image_size": (int(SIZE), int(SIZE))},
    }
    FIT = Trainer.fit

    def fit_with_clock(trainer: Trainer, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Add the clock, which LightlyTrain's settings cannot hold."""
        trainer.callbacks.append(CLOCK.callback(Callback))
        FIT(trainer, *args, **kwargs)

    Trainer.fit = fit_with_clock
    with tempfile.TemporaryDirectory() as out:
        lightly_train.pretrain(out=f"{out}/run", **SETTINGS)
    print(json.dumps({"value": CLOCK.value(WHAT, int(BATCH))}))
