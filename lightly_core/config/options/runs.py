"""Settings of `lightly runs`."""

from __future__ import annotations

from typing import Literal

from attrs import define, field

RunState = Literal["running", "finished", "interrupted", "failed", "waiting", "unknown"]
SortKey = Literal[
    "started",
    "age",
    "updated",
    "name",
    "state",
    "method",
    "model",
    "data",
    "epochs",
    "knn",
    "gain",
    "size",
]


@define(frozen=True, kw_only=True)
class RunsConfig:
    """Which runs `lightly runs` and `lightly_core.list_runs` list, and in which order."""

    sort: SortKey = field(
        default="started",
        metadata={
            "help": "column to sort by: times, accuracies and sizes with the largest first, texts "
            "from a to z; runs without a value come last"
        },
    )
    reverse: bool = field(default=False, metadata={"help": "reverse the order"})
    state: RunState | None = field(
        default=None, metadata={"help": "list only runs in this state; None: all"}
    )
    method: str | None = field(
        default=None, metadata={"help": "list only runs of this method; None: all"}
    )
