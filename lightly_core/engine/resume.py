"""Continues an interrupted run: what is compared, and where it goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightly_core.config.resolve import Resolved, diff
from lightly_core.engine.checkpoint_io import read_checkpoint
from lightly_core.errors import ConfigError


@dataclass(frozen=True)
class ResumePoint:
    """Where an interrupted run stopped.

    Attributes:
        path: Its `last.ckpt`.
        epoch: Epoch to go on in.
        batches: Batches of it that are done.
        step: Optimizer steps taken.
        config: Its resolved configuration.
        buffer: Metrics collected since they were logged last.
    """

    path: Path
    epoch: int
    batches: int
    step: int
    config: dict[str, Any]
    buffer: dict[str, tuple[float, int]]

    @property
    def seed(self) -> int:
        """Seed of the interrupted run."""
        return int(self.config["seed"])


def find_resume_point(path: Path) -> ResumePoint:
    """Read `last.ckpt`.

    Raises:
        ConfigError: It cannot be read, or is no complete checkpoint of ours.
    """
    checkpoint = read_checkpoint(path)
    own = checkpoint.get("lightly")
    if own is None or "optimizer_states" not in checkpoint:
        raise ConfigError(
            f"'{path}' holds no optimizer state and cannot be resumed (it was written with "
            "callbacks.model_checkpoint.save_weights_only, or by another program); start a new "
            "run with checkpoint= to use its weights"
        )
    return ResumePoint(
        path=path,
        epoch=own["epoch"],
        batches=own["batches"],
        step=checkpoint["global_step"],
        config=json.loads(own["config"]),
        buffer={name: (total, count) for name, (total, count) in own["buffer"].items()},
    )


def refuse_changes(point: ResumePoint, resolved: Resolved) -> None:
    """Compare the interrupted run's settings with those given now.

    Raises:
        ConfigError: Names each setting that differs.
    """
    now = json.loads(json.dumps(resolved.as_dict()))
    changed = diff(point.config, now)
    if changed:
        raise ConfigError(
            "resume_interrupted=true goes on with the settings of the interrupted run, but these "
            "have changed:\n"
            + "\n".join(f"  {line}" for line in changed)
            + "\nSet them back, or start a new run in another `out` with checkpoint= "
            f"'{point.path}'"
        )
