"""Adds a line to `runs.jsonl` when a run ends. Imported at every start: no heavy imports here."""

import json
from datetime import datetime, timezone

from lightly_core import RunInfo, hookimpl

LIGHTLY_API = 2


@hookimpl
def lightly_run_end(run: RunInfo) -> None:
    """Add a line with time, folder, status and settings to a file next to the run folder."""
    if run.rank != 0:
        return
    line = {
        "ended": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "out": run.out.name,
        "status": run.status,
        "model": run.model,
        "method": run.method,
        "steps": run.total_steps,
        "batch_size": run.config["batch_size"],
    }
    with (run.out.parent / "runs.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
