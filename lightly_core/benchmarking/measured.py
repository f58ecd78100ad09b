"""Read a row's results for the table and the plot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightly_core.evaluation.uncertainty import known_error, percent

#: Points (epochs, accuracy in [0, 1]), in the order of the epochs.
Curve = tuple[tuple[float, float], ...]

#: Metrics of a run that are kept as curves.
CURVES = ("knn/top1", "linear/top1")


@dataclass(frozen=True)
class Scores:
    """Accuracies of a row in [0, 1], None where not measured.

    Attributes:
        knn_top1: kNN of the last epoch's network.
        knn_max: Best kNN of all epochs, without the untrained network.
        knn_untrained: kNN before the first step, on the images of the curve.
        linear_top1: Linear classifier.
        linear_top5: Linear classifier, right class among the first five.
        finetune_top1: Fine-tuned network.
        finetune_top5: Fine-tuned network, right class among the first five.
        images: Images that were classified, by the name of the accuracy, where it is known.
    """

    knn_top1: float | None = None
    knn_max: float | None = None
    knn_untrained: float | None = None
    linear_top1: float | None = None
    linear_top5: float | None = None
    finetune_top1: float | None = None
    finetune_top5: float | None = None
    images: dict[str, int] = field(default_factory=dict)

    def error(self, name: str) -> float | None:
        """Return the standard error of an accuracy; None if it or the images are not known."""
        return known_error(getattr(self, name), self.images.get(name))

    def percent(self, name: str) -> str:
        """Return an accuracy with its standard error; empty if it is not known."""
        return percent(getattr(self, name), self.error(name))


@dataclass(frozen=True)
class Measured:
    """Results of a row whose training has finished.

    Attributes:
        scores: Accuracies.
        epochs: Passes over the data.
        batch_size: Images per optimizer step.
        seconds: Wall time of the training, over all its sessions.
        device_memory: Most bytes of one accelerator in use by tensors; None on a CPU.
        process_memory: Most bytes of main memory; None where the system does not report it.
        curves: Accuracies while training, by metric.
        notes: Remarks on the results, such as a collapse.
    """

    scores: Scores
    epochs: int
    batch_size: int
    seconds: float
    device_memory: int | None
    process_memory: int | None
    curves: dict[str, Curve] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_curves(metrics: Path, steps_per_epoch: int) -> dict[str, Curve]:
    """Read the accuracies that a run logged, by epoch.

    Where a resumed run logged a step again, its last value counts.
    """
    points: dict[str, dict[int, float]] = {name: {} for name in CURVES}
    if metrics.is_file():
        for line in metrics.read_text(encoding="utf-8").splitlines():
            try:
                logged = json.loads(line)
            except ValueError:
                continue  # cut off by a crash
            for name in CURVES:
                if logged.get(name) is not None:
                    points[name][logged["step"]] = logged[name]
    return {
        name: tuple((step / steps_per_epoch, by_step[step]) for step in sorted(by_step))
        for name, by_step in points.items()
        if by_step
    }


def read_measured(
    trained: Mapping[str, Any], evaluation: Sequence[Mapping[str, Any]], knn_k: int | None
) -> Measured:
    """Combine the results of training and evaluation.

    Args:
        trained: Content of ``trained.json``.
        evaluation: Results of `lightly evaluate`; empty where there is none yet.
        knn_k: Neighbours of the kNN accuracy to show; None: that of the last epoch's curve.
    """
    curves = {name: tuple(map(tuple, points)) for name, points in trained["curves"].items()}
    return Measured(
        scores=_scores(curves.get("knn/top1", ()), trained.get("knn_images"), evaluation, knn_k),
        epochs=trained["epochs"],
        batch_size=trained["batch_size"],
        seconds=trained["seconds"],
        device_memory=trained["device_memory"],
        process_memory=trained["process_memory"],
        curves=curves,
        notes=tuple(trained.get("notes", ())),
    )


def _scores(
    curve: Curve,
    curve_images: int | None,
    evaluation: Sequence[Mapping[str, Any]],
    knn_k: int | None,
) -> Scores:
    by_epoch = dict(curve)
    untrained = by_epoch.pop(0, None)
    last = by_epoch[max(by_epoch)] if by_epoch else None
    knn = _result(evaluation, "knn", knn_k)
    linear = _result(evaluation, "linear")
    finetune = _result(evaluation, "finetune")
    of_curve = ("knn_max", "knn_untrained", *(() if knn else ("knn_top1",)))
    counts = dict.fromkeys(of_curve if curve_images else (), curve_images or 0) | {
        name: result["data"]["num_val"]
        for result, names in (
            (knn, ("knn_top1",)),
            (linear, ("linear_top1", "linear_top5")),
            (finetune, ("finetune_top1", "finetune_top5")),
        )
        for name in names
        if "num_val" in result.get("data", {})
    }
    return Scores(
        images=counts,
        knn_top1=knn["top1"] if knn else last,
        knn_max=max(by_epoch.values(), default=None),
        knn_untrained=untrained,
        linear_top1=linear.get("top1"),
        linear_top5=linear.get("top5"),
        finetune_top1=finetune.get("top1"),
        finetune_top5=finetune.get("top5"),
    )


def _result(
    evaluation: Sequence[Mapping[str, Any]], protocol: str, k: int | None = None
) -> Mapping[str, Any]:
    """Return the first result of a protocol, of those with `k` neighbours if that is given."""
    for result in evaluation:
        if result["protocol"] == protocol and (k is None or result["settings"].get("k") == k):
            return result
    return {}
