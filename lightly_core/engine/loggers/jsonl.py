"""`metrics.jsonl`: one JSON object per line, flushed at once, readable during the run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from lightly_core.config.options.settings import JsonlArgs
from lightly_core.contracts import Logger


class JsonlLogger(Logger):
    """Append metrics to `metrics.jsonl`.

    Args:
        config: No options so far.
        folder: The run folder.
        resume_step: Steps that a resumed run starts from; lines of later steps are removed,
            since these steps are repeated. None: a new run.
    """

    def __init__(self, config: JsonlArgs, folder: Path, resume_step: int | None) -> None:
        self._path = folder / "metrics.jsonl"
        if resume_step is not None and self._path.exists():
            self._drop_after(resume_step)
        self._file = self._path.open("a", encoding="utf-8")

    def _drop_after(self, step: int) -> None:
        kept = []
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (json.JSONDecodeError, KeyError):
                continue  # a line that the interruption cut off
        self._path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Write one line; nan and infinities become null, since JSON has no such numbers."""
        line: dict[str, float | None] = {"step": step}
        line.update({name: _jsonable(value) for name, value in metrics.items()})
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def finish(self, status: str) -> None:
        """Close the file."""
        self._file.close()


def _jsonable(value: float) -> float | None:
    return value if math.isfinite(value) else None
