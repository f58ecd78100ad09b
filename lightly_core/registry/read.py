"""Read one run folder, whatever is in it: half-written, foreign, old or damaged files too."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from attrs import define, evolve

from lightly_core.engine.lock import LOCK_FILE, owner_of
from lightly_core.engine.status import STATUS_FILE, Status
from lightly_core.evaluation.uncertainty import known_error
from lightly_core.registry.entry import RunEntry, data_text
from lightly_core.registry.metrics import Metrics, read_metrics

#: Folders in which a run writes files, besides its own.
SUBFOLDERS = ("checkpoints", "exported_models", "non_finite", "report_data")

_DIED = "its process ended without a record, for example because it was killed or memory ran out"
_LOG_BYTES = 1 << 14
#: A line that `RunLogs` writes to train.log if a run ends with an error.
_ENDED_WITH_ERROR = "The run ended with an error."


@define(kw_only=True)
class Found:
    """The files of a run folder, and what is wrong with them.

    Attributes:
        config: The content of `config.json`; empty if it cannot be used.
        status: The content of `status.json`; None if there is none, or it cannot be used.
        metrics: What `metrics.jsonl` says.
        problems: What is wrong, one text each.
    """

    config: dict[str, Any]
    status: Status | None
    metrics: Metrics
    problems: list[str]


def read_run(folder: Path, name: str) -> RunEntry:
    """Describe a run folder. Nothing is written or locked, and no error is raised.

    Args:
        folder: The folder.
        name: Its name in the list.
    """
    found = _read_files(folder)
    entry = _entry(RunEntry(name=name, path=folder), found)
    return evolve(_with_state(entry, found), size=_size(folder), updated=_updated(folder))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is damaged, or no object.
    """
    try:
        content = json.loads(path.read_bytes())
    except RecursionError:
        raise ValueError("too deeply nested") from None
    if not isinstance(content, dict):
        raise ValueError("expected an object")
    return content


def _read_files(folder: Path) -> Found:
    found = Found(config={}, status=None, metrics=Metrics(), problems=[])

    def problem(file: str, error: Exception) -> None:
        text = error.strerror if isinstance(error, OSError) else f"it is damaged: {error}"
        found.problems.append(f"{file} cannot be read: {text}")

    try:
        found.config = read_json(folder / "config.json")
        if not is_config(found.config):
            found.problems.append("config.json was not written by a run")
            found.config = {}
    except FileNotFoundError:
        found.problems.append("there is no config.json")
    except (OSError, ValueError) as error:
        problem("config.json", error)
    try:
        found.status = Status.read(folder)
    except (OSError, ValueError) as error:
        problem(STATUS_FILE, error)
    try:
        found.metrics = read_metrics(folder / "metrics.jsonl")
        if found.metrics.damaged:
            found.problems.append("metrics.jsonl is damaged at its end")
    except OSError as error:
        problem("metrics.jsonl", error)
    return found


def is_config(config: dict[str, Any]) -> bool:
    """Return whether this is the `config.json` of a run."""
    return "method" in config and "model" in config and "data" in config


def _entry(entry: RunEntry, found: Found) -> RunEntry:
    """Add settings, progress and accuracies."""
    config, status, metrics = found.config, found.status, found.metrics
    derived = config.get("derived")
    derived = derived if isinstance(derived, dict) else {}
    step = metrics.step
    if status is not None and status.step is not None:
        step = status.step
    per_epoch = _whole(derived.get("steps_per_epoch"))
    before, after = metrics.knn_before, metrics.knn_after
    images = None
    if status is not None:
        before = status.knn_before if status.knn_before is not None else before
        images = status.knn_images
        # The status holds the newest accuracy, which may be that before training.
        after = after if metrics.step is not None else status.knn_after
    return evolve(
        entry,
        method=_text(config.get("method")),
        model=_text(config.get("model")),
        data=data_text(config.get("data")),
        num_images=_whole(derived.get("dataset_size")),
        epochs_done=round(step / per_epoch, 2) if step is not None and per_epoch else None,
        epochs=_whole(config.get("epochs")),
        step=step,
        total_steps=_whole(derived.get("total_steps")),
        knn_before=before,
        knn_before_error=known_error(before, images),
        knn_after=after,
        knn_after_error=known_error(after, images),
        started=status.started if status is not None else _changed(entry.path / "config.json"),
        ended=status.ended if status is not None else None,
    )


def _with_state(entry: RunEntry, found: Found) -> RunEntry:
    status, folder = found.status, entry.path
    owner = owner_of(folder)
    problems = "; ".join(found.problems)
    if owner is not None:
        return evolve(entry, state="running", reason=problems or None)
    if status is not None and status.state != "running":
        reason = status.error if status.state == "failed" else status.stopped
        reasons = [text for text in (reason, problems) if text]
        return evolve(entry, state=status.state, reason="; ".join(reasons) or None)
    if status is not None or (folder / LOCK_FILE).exists():
        resumable = (folder / "checkpoints/last.ckpt").is_file()
        remedy = "resume_interrupted=true continues it" if resumable else "it saved no checkpoint"
        reasons = [text for text in (_DIED, remedy, problems) if text]
        return evolve(entry, state="unknown", reason="; ".join(reasons))
    return _without_status(entry, problems)


def _without_status(entry: RunEntry, problems: str) -> RunEntry:
    """Infer the state of a folder of an older version, which wrote no `status.json`."""
    if problems:
        return evolve(entry, reason=problems)
    last_line = _error_in_log(entry.path / "train.log")
    if last_line is not None:
        stopped = "RunInterrupted" in last_line
        return evolve(entry, state="interrupted" if stopped else "failed", reason=last_line)
    exported = any((entry.path / "exported_models").glob("exported_last.*"))
    if exported and entry.step is not None and entry.step == entry.total_steps:
        return evolve(entry, state="finished")
    reason = f"there is no {STATUS_FILE}, so it is not known how it ended"
    return evolve(entry, reason=reason)


def _error_in_log(log: Path) -> str | None:
    """Return the last line of `train.log` if the run ended with an error."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_BYTES))
            tail = file.read().decode(errors="replace")
    except OSError:
        return None
    _, marker, traceback = tail.rpartition(_ENDED_WITH_ERROR)
    lines = traceback.strip().splitlines()
    return lines[-1].strip() if marker and lines else None


def _size(folder: Path) -> int:
    return sum(
        entry.stat(follow_symlinks=False).st_size
        for path in (folder, *(folder / name for name in SUBFOLDERS))
        for entry in files_in(path)
    )


def files_in(folder: Path) -> Iterable[os.DirEntry[str]]:
    """Return the files directly in a folder; none if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if entry.is_file(follow_symlinks=False)]
    except OSError:
        return []


def _updated(folder: Path) -> str | None:
    times = [_changed(folder / name) for name in ("metrics.jsonl", STATUS_FILE, "config.json")]
    return max((time for time in times if time is not None), default=None)


def _changed(path: Path) -> str | None:
    """Return when a file was changed, in ISO 8601."""
    try:
        changed = path.stat().st_mtime
        return datetime.fromtimestamp(changed).astimezone().isoformat(timespec="seconds")
    except (OSError, ValueError, OverflowError):
        return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
