"""Reads the measurements of a trial from the files of its run, while it runs and afterwards."""

from __future__ import annotations

import json
import math
from itertools import chain
from pathlib import Path
from typing import Any

from attrs import define

from lightly_core.benchmarking.sweeps.trial import Points
from lightly_core.engine.monitors import ACCURACIES
from lightly_core.engine.status import Status

_NAN = float("nan")


@define(frozen=True, kw_only=True)
class Measurements:
    """What a run has measured so far.

    Attributes:
        points: The last value of the metric in each epoch that is over. The untrained network is
            left out. A value that is not finite is nan.
        last_epoch: Epochs of the whole run.
        known: Names of all metrics in the file.
        num_images: Images that were classified, if the metric is an accuracy and the run has ended.
    """

    points: Points = ()
    last_epoch: int = 0
    known: frozenset[str] = frozenset()
    num_images: int | None = None


def read_measurements(run: Path, metric: str, *, ended: bool) -> Measurements:
    """Read a metric by epoch.

    Args:
        run: The run folder.
        metric: Name of the metric.
        ended: Whether the run writes nothing more. Otherwise an epoch whose value may still
            change is left out.
    """
    try:
        derived = json.loads((run / "config.json").read_text(encoding="utf-8"))["derived"]
        text = (run / "metrics.jsonl").read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError, KeyError):
        return Measurements()
    per_epoch = int(derived["steps_per_epoch"])
    by_epoch: dict[int, tuple[int, float]] = {}
    known: set[str] = set()
    newest = 0
    for line in text.splitlines():
        logged = _logged(line)
        if logged is None:
            continue
        newest = step = int(logged.pop("step"))
        known |= logged.keys()
        if step > 0 and metric in logged:
            value = logged[metric]
            by_epoch[math.ceil(step / per_epoch)] = (step, _NAN if value is None else value)
    if not ended:
        by_epoch = {
            epoch: (step, value)
            for epoch, (step, value) in by_epoch.items()
            if newest > epoch * per_epoch or step == epoch * per_epoch
        }
    epochs = sorted(by_epoch)
    return Measurements(
        points=tuple((epoch, float(by_epoch[epoch][1])) for epoch in epochs),
        last_epoch=math.ceil(int(derived["total_steps"]) / per_epoch),
        known=frozenset(known),
        num_images=_classified(run, metric),
    )


def _classified(run: Path, metric: str) -> int | None:
    """Return the images whose classes a metric counts; None: it counts none, or not known."""
    if metric not in chain.from_iterable(ACCURACIES.values()):
        return None
    try:
        status = Status.read(run)
    except (OSError, ValueError):
        return None
    return status.knn_images if status is not None else None


def _logged(line: str) -> dict[str, Any] | None:
    """Return the content of a line; None if it is cut off."""
    try:
        content = json.loads(line)
    except ValueError:
        return None
    return content if isinstance(content, dict) and "step" in content else None
