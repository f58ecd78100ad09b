"""What a run records for its report: `report_data/run.json`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from lightly_core.atomic import atomic_path

#: Folder of the data of a report, below the run folder.
DATA_FOLDER = "report_data"
#: The report itself, in the run folder.
REPORT_FILE = "report.html"
_RECORD_FILE = "run.json"


@dataclass(frozen=True)
class RunRecord:
    """Facts about a run that no other file of the run folder holds.

    Attributes:
        status: ``running``, ``finished``, ``interrupted`` or ``failed``; empty: not known.
        error: Message of the error that ended the run, or why not all steps were done.
        started: Date and time of the first start, in ISO format.
        seconds: Seconds of all starts together.
        steps: Optimizer steps so far.
        num_images: Training images.
        num_query: Images that the kNN classifies.
        knn_before: kNN top-1 before training, in [0, 1].
        knn_after: kNN top-1 of the newest measurement after training began.
        collapse: Description of the collapse of the features.
        signals: Whether the features were measured without labels after training began.
        num_skipped: Images that could not be read.
        auto: Names of the settings that were "auto".
        given: Names of the settings that the user gave.
        versions: Version by name of a package.
        machine: Description by name of a property.
        exported: Files with the pretrained backbone, relative to the run folder.
        snippet: Python code that loads the first of them.
    """

    status: str = ""
    error: str | None = None
    started: str = ""
    seconds: float = 0.0
    steps: int = 0
    num_images: int | None = None
    num_query: int | None = None
    knn_before: float | None = None
    knn_after: float | None = None
    collapse: str | None = None
    signals: bool = False
    num_skipped: int = 0
    auto: list[str] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, str] = field(default_factory=dict)
    exported: list[str] = field(default_factory=list)
    snippet: str = ""

    def write(self, folder: Path) -> None:
        """Write `report_data/run.json` below the run folder."""
        with atomic_path(folder / DATA_FOLDER / _RECORD_FILE) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    def continued(self, folder: Path) -> RunRecord:
        """Return the record with the start and the seconds of the run that it resumes."""
        earlier = read_record(folder)
        if earlier is None:
            return self
        return replace(self, started=earlier.started, seconds=earlier.seconds)


def read_record(folder: Path) -> RunRecord | None:
    """Read the record of a run; None if there is none, as in runs of older versions."""
    found = read_json(folder / DATA_FOLDER / _RECORD_FILE)
    if not isinstance(found, dict):
        return None
    known = {one.name for one in fields(RunRecord)}
    return RunRecord(**{name: value for name, value in found.items() if name in known})


def read_json(path: Path) -> Any:  # noqa: ANN401 - what JSON may hold
    """Read a JSON file; None if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
