"""Measure the cost of the signals that every run logs: `python examples/signals_cost.py`.

The script makes short runs on scikit-learn's digits with the defaults of `callbacks.signals`. The
time of all measurements of the features, including the reading of their images, is divided by the
time of training from the first step to the end. Requires lightly-methods, lightly-distillation and
lightly-torchvision. Takes a few minutes on one CPU core.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning

import lightly_core
from lightly_core.engine.callbacks.signals import SignalsCallback

DIGITS = {
    "gaussian_blur": None,
    "random_flip": None,
    "color_jitter": {"strength": 0.5},
    "random_resize": {"min_scale": 0.5},
}
RESNET = "torchvision/resnet18"
#: Name and settings of each run.
RUNS: list[tuple[str, dict[str, Any]]] = [
    (
        f"simclr, {RESNET}, 32 px, {epochs} epochs",
        {
            "model": RESNET,
            "method": "simclr",
            "epochs": epochs,
            "transform_args": {"image_size": 32, **DIGITS},
        },
    )
    for epochs in (1, 4)
]
RUNS += [
    (
        f"simclr, {RESNET}, 64 px, 1 epochs",
        {
            "model": RESNET,
            "method": "simclr",
            "epochs": 1,
            "transform_args": {"image_size": 64, **DIGITS},
        },
    ),
    (
        f"distillation from {RESNET}, torchvision/shufflenet_v2_x0_5, 64 px, 5 epochs",
        {
            "model": "torchvision/shufflenet_v2_x0_5",
            "method": "distillation",
            "method_args": {"teacher": RESNET, "n_teacher_blocks": 1},
            "epochs": 5,
            "transform_args": {"image_size": 64, **DIGITS},
        },
    ),
]


class Clock(lightning.Callback):
    """Times the training, and the measurements of the features within it."""

    def __init__(self) -> None:
        self.started = self.ended = self.measuring = 0.0
        self.num_measurements = 0

    def on_fit_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Wrap the callback that measures the features."""
        self.started = time.perf_counter()
        (signals,) = (c for c in trainer.callbacks if isinstance(c, SignalsCallback))  # type: ignore[attr-defined]
        measure = signals.measure

        def timed(*args: Any) -> dict[str, float]:  # noqa: ANN401 - passed on
            started = time.perf_counter()
            found = measure(*args)  # returns Python numbers, so no kernel is still running
            self.measuring += time.perf_counter() - started
            self.num_measurements += 1
            return found

        signals.measure = timed  # type: ignore[method-assign]

    def on_fit_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Stop the clock."""
        self.ended = time.perf_counter()


def main() -> None:
    """Make all runs, and print a Markdown table."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    print("| Run | Measurements | Time of measurements | Time of training | Fraction |")
    print("|---|---|---|---|---|")
    for name, settings in RUNS:
        clock = Clock()
        with tempfile.TemporaryDirectory() as folder:
            lightly_core.pretrain(
                out=Path(folder) / "out",
                data="builtin:digits",
                batch_size=128,
                num_workers=0,
                callbacks={"knn": None},
                loggers={"tensorboard": None},
                trainer_args={"callbacks": [clock]},
                **settings,
            )
        total = clock.ended - clock.started
        print(
            f"| {name} | {clock.num_measurements} | {clock.measuring:.2f} s | {total:.1f} s "
            f"| {clock.measuring / total:.1%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
