"""Reads a run folder for its report. Every file may be missing, as in runs that failed early."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightly_core.data.skipped import FILE_NAME as SKIPPED_FILE
from lightly_core.data.skipped import read_skipped
from lightly_core.errors import ConfigError
from lightly_core.reporting.record import RunRecord, read_json, read_record
from lightly_core.reporting.verdict import Outcome, Verdict, judge

#: Steps and values of a metric; None where the value was not finite.
Points = list[tuple[int, float | None]]

#: Files of which a run folder has at least one.
_MARKS = ("config.json", "metrics.jsonl", "train.log")


@dataclass(frozen=True)
class RunData:
    """What the files of a run hold.

    Attributes:
        folder: The run folder.
        name: Name to show.
        config: Content of `config.json`; empty if it is missing.
        metrics: Values by name of the metric, steps ascending.
        record: Content of `report_data/run.json`.
        skipped: Name and reason of the images that could not be read.
    """

    folder: Path
    name: str
    config: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Points] = field(default_factory=dict)
    record: RunRecord = field(default_factory=RunRecord)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def verdict(self) -> Verdict:
        """Return the result of the run."""
        record = self.record
        return judge(
            Outcome(
                before=record.knn_before,
                after=record.knn_after,
                num_query=record.num_query,
                collapse=record.collapse,
                signals=record.signals,
            )
        )

    def last(self, metric: str) -> float | None:
        """Return the newest finite value of a metric; None if there is none."""
        values = [value for _, value in self.metrics.get(metric, []) if value is not None]
        return values[-1] if values else None

    def steps(self) -> int:
        """Return the number of the last step that is known."""
        logged = [points[-1][0] for points in self.metrics.values()]
        return max([self.record.steps, *logged])


def read_run(folder: str | Path) -> RunData:
    """Read a run folder.

    Args:
        folder: The setting ``out`` of a run.

    Raises:
        ConfigError: It does not exist, or a run has written nothing there.
    """
    root = Path(folder).expanduser().absolute()
    if not root.exists():
        raise ConfigError(
            f"there is no folder '{folder}'; give the run folder, which was `out` of the run"
        )
    if not root.is_dir():
        raise ConfigError(f"'{folder}' is a file; give the run folder, which was `out` of the run")
    if not any((root / mark).is_file() for mark in _MARKS):
        found = "the folder is empty" if not any(root.iterdir()) else "other files are in it"
        raise ConfigError(
            f"'{folder}' is not a run folder: it has no {', '.join(_MARKS[:-1])} or {_MARKS[-1]} "
            f"({found}); give the folder that was `out` of a run"
        )
    config = read_json(root / "config.json")
    metrics = read_metrics(root / "metrics.jsonl")
    return RunData(
        folder=root,
        name=root.name,
        config=config if isinstance(config, dict) else {},
        metrics=metrics,
        record=read_record(root) or _record_of_metrics(metrics),
        skipped=[(name, reason) for _, name, reason in read_skipped(root / SKIPPED_FILE)],
    )


def read_metrics(path: Path) -> dict[str, Points]:
    """Read `metrics.jsonl`. Lines that are cut off or of another form are ignored.

    A run without ``resume_interrupted`` never repeats a step. If a step occurs again, its last
    value counts.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    found: dict[str, dict[int, float | None]] = {}
    for line in text.splitlines():
        try:
            values = json.loads(line)
            step = int(values.pop("step"))
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
        for name, value in values.items():
            if isinstance(value, (int, float)) and math.isfinite(value):
                found.setdefault(str(name), {})[step] = float(value)
            elif value is None:  # it was not finite
                found.setdefault(str(name), {})[step] = None
    return {name: sorted(points.items()) for name, points in found.items()}


def _record_of_metrics(metrics: dict[str, Points]) -> RunRecord:
    """Return what is known of a run of an older version."""
    accuracies = metrics.get("knn/top1", [])
    return RunRecord(
        knn_before=accuracies[0][1] if accuracies and accuracies[0][0] == 0 else None,
        knn_after=accuracies[-1][1] if accuracies and accuracies[-1][0] > 0 else None,
        signals=len(metrics.get("embedding/std", [])) > 1,
    )
