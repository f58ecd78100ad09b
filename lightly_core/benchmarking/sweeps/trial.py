"""A trial: the values that it tries, and what came out. Each has one file, ``trial.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from attrs import asdict, define

from lightly_core.benchmarking import state
from lightly_core.benchmarking.files import TRIAL_FILE
from lightly_core.benchmarking.sweeps.space import Values, shown
from lightly_core.evaluation.uncertainty import known_error, percent

#: Points (epoch, value of the metric), in the order of the epochs.
Points = tuple[tuple[int, float], ...]


@define(frozen=True, kw_only=True)
class Trial:
    """A trial.

    Attributes:
        number: Its number, from 0.
        values: Values of the settings, by full name.
        state: ``started``: it has no result yet. ``pruned``: it was stopped early.
        points: Measurements that count: those after the first step, and for a pruned trial
            up to the one after which it was stopped.
        num_images: Images that were classified, if the metric is an accuracy; None: not known.
        error: Why it failed.
    """

    number: int
    values: Values
    state: Literal["started", "finished", "pruned", "failed"] = "started"
    points: Points = ()
    num_images: int | None = None
    error: str | None = None

    @property
    def name(self) -> str:
        """Name of its folder below that of the sweep."""
        return f"trial-{self.number:03d}"

    @property
    def value(self) -> float | None:
        """Last value of the metric; None if it failed or has no result yet."""
        ended = self.state in ("finished", "pruned")
        return self.points[-1][1] if ended and self.points else None

    @property
    def result(self) -> str:
        """The value as text: an accuracy with its standard error; empty without a value."""
        if self.value is None:
            return ""
        error = known_error(self.value, self.num_images)
        return shown(self.value) if error is None else percent(self.value, error)

    def write(self, sweep: Path) -> None:
        """Write it below the folder of its sweep."""
        folder = sweep / self.name
        folder.mkdir(parents=True, exist_ok=True)
        state.write(folder / TRIAL_FILE, asdict(self))


def read_trials(sweep: Path) -> list[Trial]:
    """Read the trials of a sweep, by number.

    Raises:
        ConfigError: A file is damaged.
    """
    found = [_read(path) for path in sweep.glob(f"trial-*/{TRIAL_FILE}")]
    return sorted(found, key=lambda trial: trial.number)


def _read(path: Path) -> Trial:
    content: dict[str, Any] = state.read(path)
    points = tuple((int(epoch), float(value)) for epoch, value in content["points"])
    return Trial(**{**content, "points": points})
