"""The summary at the end of a run."""

from __future__ import annotations

from lightly_core.engine.callbacks.export import BestExportCallback
from lightly_core.engine.result import RunResult
from lightly_core.reporting.verdict import Outcome, judge


def summary_text(result: RunResult, best: BestExportCallback | None = None) -> str:
    """Return the summary at the end of a run.

    Args:
        result: What the run returns.
        best: The callback that wrote `result.exported_best`.
    """
    lines = [] if result.stopped is None else [result.stopped]
    if result.knn_before is not None and result.knn_after is not None:
        measured = Outcome(result.knn_before, result.knn_after, result.num_query)
        lines.append(judge(measured).text)
    if result.num_skipped:
        lines.append(
            f"{result.num_skipped} images could not be read, see "
            f"{result.folder / 'skipped_images.csv'}"
        )
    if result.collapse is not None:
        lines.append(f"Warning: {result.collapse}")
    lines.append("Exported: " + ", ".join(str(path) for path in result.exported))
    if best is not None and best.best is not None:
        files = ", ".join(str(path) for path in result.exported_best)
        lines.append(f"Best {best.monitor} ({best.best:.4g}, epoch {best.epoch}): {files}")
    lines.append("Load it with:\n")
    lines.append("\n".join(f"    {line}" for line in result.snippet.splitlines()))
    return "\n".join(lines)
