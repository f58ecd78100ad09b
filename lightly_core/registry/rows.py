"""Read a row of `lightly benchmark`: its run, and whether it was evaluated."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import evolve

from lightly_core.benchmarking.files import (
    FAILURE_FILE,
    RESULT_FILE,
    ROW_FILE,
    ROW_RUN,
    TRIAL_FILE,
)
from lightly_core.engine.lock import owner_of
from lightly_core.registry.entry import RunEntry, data_text
from lightly_core.registry.read import files_in, read_json, read_run


def is_row(folder: Path) -> bool:
    """Return whether `row.json` of a folder is that of a suite."""
    return _settings(folder) is not None


def read_row(folder: Path, name: str) -> RunEntry:
    """Describe a row. The arguments are those of `read_run`."""
    settings = _settings(folder) or {}
    run = folder / ROW_RUN
    if run.is_dir():
        entry = read_run(run, name)
    else:
        entry = RunEntry(name=name, path=run, state="waiting", reason="it has not started yet")
    entry = evolve(
        entry,
        path=folder,
        kind="row",
        method=entry.method or _text(settings.get("method")),
        model=entry.model or _text(settings.get("model")),
        data=entry.data or data_text(settings.get("data")),
        size=(entry.size or 0) + sum(file.stat().st_size for file in files_in(folder)),
    )
    return _with_state(entry, folder)


def _with_state(entry: RunEntry, folder: Path) -> RunEntry:
    """Replace the state of the training by that of the row."""
    if owner_of(folder) is not None:
        why = "it is being evaluated" if entry.state == "finished" else entry.reason
        return evolve(entry, state="running", reason=why)
    with suppress(OSError, ValueError):
        if read_json(folder / TRIAL_FILE).get("state") == "pruned":
            return evolve(entry, reason="its sweep stopped it early")
    with suppress(OSError, ValueError):
        failure = read_json(folder / FAILURE_FILE)
        return evolve(entry, state="failed", reason=str(failure.get("error")))
    if entry.state == "finished" and not (folder / RESULT_FILE).is_file():
        return evolve(entry, state="interrupted", reason="it is trained, but not evaluated")
    return entry


def _settings(folder: Path) -> dict[str, Any] | None:
    """Return the settings of a row's run; None if the folder is not that of a row."""
    with suppress(OSError, ValueError):
        settings = read_json(folder / ROW_FILE).get("settings")
        if isinstance(settings, dict) and isinstance(settings.get("run"), dict):
            # The runs of a sweep are its trials, which have folders of their own.
            return None if "sweep" in settings else dict(settings["run"])
    return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
