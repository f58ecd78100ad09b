"""The facts about a run that head its report, as texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lightly_core.data.names import shown
from lightly_core.evaluation.uncertainty import known_error, percent
from lightly_core.reporting.reading import RunData
from lightly_core.reporting.verdict import Kind, Verdict

#: Mark of each result: a form, so that colour is not needed to tell them apart.
_MARKS = {
    Kind.LEARNED: ("good", "✓"),
    Kind.WORSE: ("bad", "▼"),
    Kind.UNCLEAR: ("unsure", "≈"),
    Kind.COLLAPSED: ("bad", "✕"),
    Kind.UNLABELLED: ("unsure", "?"),
    Kind.UNMEASURED: ("unsure", "?"),
}
_STATUS = {
    "finished": "finished",
    "interrupted": "interrupted",
    "failed": "failed",
    "running": "running, or killed",
}


@dataclass(frozen=True)
class Facts:
    """What is shown of a run above everything else.

    Attributes:
        name: Name of the run folder.
        folder: Its path.
        method: Name of the method.
        model: Name of the model.
        status: State of the run; empty if it is not known.
        error: Why it ended early; empty if it did not.
        verdict: The result.
        tone: ``good``, ``bad`` or ``unsure``.
        mark: A sign for the result.
        numbers: Label and value of the most important numbers.
    """

    name: str
    folder: str
    method: str
    model: str
    status: str
    error: str
    verdict: Verdict
    tone: str
    mark: str
    numbers: list[tuple[str, str]]


def facts_of(run: RunData) -> Facts:
    """Return the facts about a run."""
    verdict = run.verdict()
    tone, mark = _MARKS[verdict.kind]
    return Facts(
        name=shown(run.name),
        folder=shown(str(run.folder)),
        method=_setting(run, "method"),
        model=_setting(run, "model"),
        status=_STATUS.get(run.record.status, ""),
        error=shown(run.record.error or ""),
        verdict=verdict,
        tone=tone,
        mark=mark,
        numbers=[(label, value) for label, value in _numbers(run, verdict) if value],
    )


def duration(seconds: float) -> str:
    """Return a time as text, such as ``1 h 05 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _numbers(run: RunData, verdict: Verdict) -> list[tuple[str, str]]:
    record = run.record
    gain = ""
    if record.knn_before is not None and record.knn_after is not None:
        gain = f"{100 * (record.knn_after - record.knn_before):+.1f}"
        if verdict.error is not None:
            gain += f" ± {100 * verdict.error:.1f}"
    return [
        ("kNN before", _accuracy(run, record.knn_before)),
        ("kNN after", _accuracy(run, record.knn_after)),
        ("Points gained", gain),
        ("Linear", _accuracy(run, run.last("linear/top1"))),
        ("RankMe", _number(run.last("rank/rankme"))),
        ("Dispersion", _number(run.last("embedding/std"), 3)),
        ("Images", "" if record.num_images is None else f"{record.num_images:,}"),
        ("Steps", _steps(run)),
        ("Duration", duration(record.seconds) if record.seconds else ""),
    ]


def _steps(run: RunData) -> str:
    total: Any = run.config.get("derived", {}).get("total_steps")
    done = run.steps()
    return f"{done:,} of {total:,}" if isinstance(total, int) and total != done else f"{done:,}"


def _setting(run: RunData, name: str) -> str:
    return shown(str(run.config.get(name, "")))


def _accuracy(run: RunData, value: float | None) -> str:
    """Return an accuracy with its error. kNN and linear classify the same images."""
    return percent(value, known_error(value, run.record.num_query))


def _number(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:.{digits}f}"
