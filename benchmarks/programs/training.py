"""What the two programs that train have in common: settings, and the CPU time after each step."""

from __future__ import annotations

import importlib
import importlib.util
import os
import time
from typing import Any


def common_settings(method: str, model: str, batch_size: str, folder: str) -> dict[str, Any]:
    """Return the settings that have the same name and value in both tools.

    The teacher of a distillation is a ViT-S/16 with random weights, which needs no download.
    """
    teacher = {"method_args": {"teacher": "dinov3/vits16-notpretrained"}}
    return {
        **(teacher if method.startswith("distillation") else {}),
        "method": method,
        "model": model,
        "data": folder,
        "batch_size": int(batch_size),
        "epochs": 2,
        "num_workers": 0,
        "accelerator": "cpu",
        "loggers": {"tensorboard": None},
    }


class FirstStep(BaseException):
    """Ends a run after its first step, of which nothing else is needed."""


def has_report() -> bool:
    """Return whether this version of ours writes a report, which costs forward passes."""
    return importlib.util.find_spec("lightly_core.reporting") is not None


def paper() -> dict[str, str]:
    """Return the setting that keeps short runs at the values of the papers, which peers have.

    Earlier versions of ours have no such setting, and no other values.
    """
    try:
        importlib.import_module("lightly_core.config.options.short_runs")
    except ModuleNotFoundError:
        return {}
    return {"recipe": "paper"}


def precision() -> str:
    """Return the number format of training on this CPU, which ours takes by itself.

    `benchmarks.measure` decides and sets it: the environment of a peer has no code of ours.
    A CPU that does not multiply bfloat16 in hardware takes many times as long with it.
    """
    return os.environ["BENCHMARK_PRECISION"]


def views(method: str, size: str) -> dict[str, Any]:
    """Return the options of the augmentation, with local views of the size that the peer has."""
    local = {"local_view": {"view_size": 96}} if method == "dino" else {}
    return {"image_size": int(size), **local}


class StepClock:
    """Times of the steps of a run, by `time.process_time`.

    Args:
        only_first: Whether to raise `FirstStep` after the first step.
    """

    def __init__(self, only_first: bool = False) -> None:
        self.times: list[float] = []
        self._only_first = only_first

    def tick(self) -> None:
        """Record that a step has ended."""
        self.times.append(time.process_time())
        if self._only_first:
            raise FirstStep

    def callback(self, base: type) -> Any:  # noqa: ANN401 - a subclass of `base`
        """Return a callback that records the times.

        Args:
            base: The class ``Callback`` of the Lightning that runs the training.
        """

        def on_train_batch_end(*args: object, **kwargs: object) -> None:
            self.tick()

        return type("Clock", (base,), {"on_train_batch_end": on_train_batch_end})()

    def value(self, what: str, batch_size: int) -> float:
        """Return CPU milliseconds an image from the second step on, or seconds to the first."""
        if what == "start":
            return self.times[0]
        return (self.times[-1] - self.times[1]) / (len(self.times) - 2) / batch_size * 1e3
