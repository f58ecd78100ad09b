"""The result of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lightly_core.evaluation.uncertainty import difference_text
from lightly_core.notebook import facts

if TYPE_CHECKING:
    from lightly_core.reporting.page import Report


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        folder: The run folder.
        metrics: The newest value of each metric.
        exported: Files with the pretrained backbone.
        exported_best: The same of the epoch in which `callbacks.model_checkpoint.monitor` was best;
            empty if none is set.
        knn_before: kNN top-1 of the network before training, in [0, 1]; None without labels.
        knn_after: kNN top-1 of the network that is exported.
        num_query: Images that each of the two classified.
        collapse: Description of the collapse of the exported network's features; None if there is
            none.
        num_skipped: Images that could not be read.
        stopped: Why not all steps were done, in a sentence; None if they were.
        snippet: Python code that loads the first exported file.
    """

    folder: Path
    metrics: dict[str, float] = field(default_factory=dict)
    exported: tuple[Path, ...] = ()
    exported_best: tuple[Path, ...] = ()
    knn_before: float | None = None
    knn_after: float | None = None
    num_query: int | None = None
    collapse: str | None = None
    num_skipped: int = 0
    stopped: str | None = None
    snippet: str = ""

    def _repr_html_(self) -> str:
        rows = [
            ("kNN top-1", self._knn_text()),
            ("stopped", self.stopped),
            ("warning", self.collapse),
            ("unreadable images", self.num_skipped or None),
            ("folder", self.folder),
            ("exported", "\n".join(map(str, self.exported))),
            ("best", "\n".join(map(str, self.exported_best))),
        ]
        return facts("Run", rows, self.snippet)

    def _knn_text(self) -> str:
        if self.knn_before is None or self.knn_after is None:
            return ""
        return difference_text(self.knn_before, self.knn_after, self.num_query)

    def report(self) -> Report:
        """Write `report.html` again, also where the run wrote none; a notebook shows the result.

        Raises:
            ConfigError: The run folder was removed.
            OSError: The file cannot be written.
        """
        from lightly_core.reporting.command import report_runs

        return report_runs([self.folder])
