"""The same run of LightlyTrain, see `our_run.py`."""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import suppress
from typing import Any

import lightly_train
import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ProgressBar

from benchmarks.programs.training import FirstStep, StepClock, common_settings, precision


def with_callback(callback: Callback) -> None:
    """Add a callback to every run, since the settings cannot hold one.

    Bars are removed: one that `FirstStep` ends would be the last line of the output.
    """
    fit = Trainer.fit

    def fit_with_callback(trainer: Trainer, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        kept = [own for own in trainer.callbacks if not isinstance(own, ProgressBar)]
        trainer.callbacks[:] = [*kept, callback]
        fit(trainer, *args, **kwargs)

    Trainer.fit = fit_with_callback


def main() -> None:
    """Measure."""
    torch.set_num_threads(1)
    method, model, size, batch, folder, what = sys.argv[1:]
    clock = StepClock(only_first=what == "start")
    with_callback(clock.callback(Callback))
    settings = {
        **common_settings(method, model, batch, folder),
        "precision": precision(),
        "transform_args": {"image_size": (int(size), int(size))},
    }
    with tempfile.TemporaryDirectory() as out, suppress(FirstStep):
        lightly_train.pretrain(out=f"{out}/run", **settings)
    print(json.dumps({"value": clock.value(what, int(batch))}))


if __name__ == "__main__":
    main()
