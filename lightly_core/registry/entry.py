"""One run in the list: what its files say about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from attrs import asdict, define

from lightly_core.config.options.runs import RunState


@define(frozen=True, kw_only=True)
class RunEntry:
    """A run folder, or a row of a suite.

    Attributes:
        name: Path below the folder that was searched, with ``/``.
        path: Absolute path of the run folder; of a row that of the row.
        kind: ``run``, or ``row`` for a row of `lightly benchmark`.
        state: ``running``, ``finished``, ``interrupted``, ``failed``, ``waiting`` (a row that has
            not started) or ``unknown``.
        reason: Why the state is what it is, or what is wrong with the folder; None if there is
            nothing to say.
        method: Name of the method; this and the following are None if not known.
        model: Name of the model.
        data: The setting `data`, as text.
        num_images: Images that it trains on.
        epochs_done: Passes over the images that are done, also parts of one.
        epochs: Passes that are planned.
        step: Optimizer steps that are done.
        total_steps: Steps that are planned.
        knn_before: kNN top-1 before training, in [0, 1].
        knn_before_error: Its standard error.
        knn_after: The newest kNN top-1.
        knn_after_error: Its standard error.
        started: When it was started first, in ISO 8601 with the offset from UTC.
        updated: When it last wrote a metric or its status.
        ended: When it ended.
        size: Bytes of its files.
    """

    name: str
    path: Path
    kind: Literal["run", "row"] = "run"
    state: RunState = "unknown"
    reason: str | None = None
    method: str | None = None
    model: str | None = None
    data: str | None = None
    num_images: int | None = None
    epochs_done: float | None = None
    epochs: int | None = None
    step: int | None = None
    total_steps: int | None = None
    knn_before: float | None = None
    knn_before_error: float | None = None
    knn_after: float | None = None
    knn_after_error: float | None = None
    started: str | None = None
    updated: str | None = None
    ended: str | None = None
    size: int | None = None

    @property
    def gain(self) -> float | None:
        """KNN top-1 after minus before training; None if one of them is not known."""
        if self.knn_before is None or self.knn_after is None:
            return None
        return self.knn_after - self.knn_before

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; the keys are the attributes."""
        return {**asdict(self), "path": str(self.path)}


def data_text(data: object) -> str | None:
    """Return the setting `data` as one text."""
    if isinstance(data, str):
        return data
    if isinstance(data, Sequence) and data:
        more = f" and {len(data) - 1} more" if len(data) > 1 else ""
        return f"{data[0]}{more}"
    return None
