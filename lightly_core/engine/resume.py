"""Continues an interrupted run: from which file, what is compared, and where it goes on."""

from __future__ import annotations

import json
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightly_core.config.auto.resolve import Resolved, diff
from lightly_core.data.base import ImageSource
from lightly_core.data.fingerprint import changes
from lightly_core.engine.checkpoint_io import copy_checkpoint, read_checkpoint
from lightly_core.engine.folder import RunFolder
from lightly_core.errors import ConfigError

logger = logging.getLogger(__name__)


class _NotResumableError(ConfigError):
    """A checkpoint that is whole, but not one that a run can go on from."""


@dataclass(frozen=True)
class ResumePoint:
    """Where an interrupted run stopped.

    Attributes:
        path: The checkpoint: `last.ckpt`, or the newest good one where that is damaged.
        epoch: Epoch to go on in.
        batches: Batches of it that are done.
        step: Optimizer steps taken.
        config: Its resolved configuration.
        buffer: Metrics collected since they were logged last.
        images: What its images were, see `lightly_core.data.fingerprint.contents`; empty where
            it was not noted.
    """

    path: Path
    epoch: int
    batches: int
    step: int
    config: dict[str, Any]
    buffer: dict[str, tuple[float, int]]
    images: dict[str, str]

    @property
    def seed(self) -> int:
        """Seed of the interrupted run."""
        return int(self.config["seed"])


def find_resume_point(folder: RunFolder) -> ResumePoint:
    """Read `last.ckpt`, or the newest good checkpoint beside it where it is damaged.

    Raises:
        ConfigError: None can be read, or it is no complete checkpoint of ours.
    """
    last = folder.last_checkpoint
    try:
        return _point(last, read_checkpoint(last))
    except _NotResumableError:
        raise
    except ConfigError as error:
        damage = str(error)
    problems = [damage]
    found = _newest_good(folder.other_checkpoints(), problems)
    if found is None:
        raise ConfigError(_nothing_good(folder, problems))
    path, point = found
    logger.warning(
        "%s. Going on from '%s' instead, after step %d; the steps after it are taken again.",
        damage,
        path,
        point.step,
    )
    return point


def restore_last(folder: RunFolder, point: ResumePoint) -> None:
    """Put the checkpoint that a run goes on from in the place of a damaged `last.ckpt`.

    The damaged file gets another name: it must never be kept in the place of a good one.
    """
    last = folder.last_checkpoint
    if point.path == last:
        return
    if last.is_file():
        os.replace(last, folder.checkpoints / "damaged.ckpt")
    copy_checkpoint(point.path, last)


def _newest_good(others: list[Path], problems: list[str]) -> tuple[Path, ResumePoint] | None:
    """Return the good checkpoint with most steps; say of the damaged ones what they are."""
    best: tuple[Path, ResumePoint] | None = None
    for path in others:  # those that say their step, the most first, and then the unnamed one
        if best is not None and _named_step(path) is not None:
            continue
        try:
            point = _point(path, read_checkpoint(path))
        except ConfigError as error:
            problems.append(str(error))
            continue
        if best is None or point.step > best[1].step:
            best = path, point
    return best


def _named_step(path: Path) -> int | None:
    found = re.search(r"-step=(\d+)\.ckpt$", path.name)
    return int(found[1]) if found else None


def _nothing_good(folder: RunFolder, problems: list[str]) -> str:
    listed = "\n".join(f"  {problem}" for problem in problems)
    weights = folder.exported_models / "exported_last.pt"
    rest = f" from the weights that were exported last, checkpoint='{weights}'"
    rest = rest if weights.is_file() else ""
    return (
        f"no checkpoint in '{folder.checkpoints}' can be resumed:\n{listed}\n"
        "Bring one of these files back from a copy and try again, or start a new run in another "
        f"`out`{rest}. Nothing was changed"
    )


def _point(path: Path, checkpoint: dict[str, Any]) -> ResumePoint:
    own = checkpoint.get("lightly")
    if own is None or "optimizer_states" not in checkpoint:
        raise _NotResumableError(
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
        images=dict(own.get("images") or {}),
    )


def refuse_changes(point: ResumePoint, resolved: Resolved, source: ImageSource) -> None:
    """Compare the interrupted run's settings and images with those of now.

    Images are compared by names, sizes and content, not by where they lie.

    Args:
        point: Where the interrupted run stopped.
        resolved: The settings of now.
        source: The images of now.

    Raises:
        ConfigError: Names each setting that differs.
    """
    now = json.loads(json.dumps(resolved.as_dict()))
    was = dict(point.config)
    if point.images:
        was.pop("data", None)
        now.pop("data", None)
    changed = diff(was, now)
    if point.images and was["derived"]["dataset_size"] == len(source):
        changed += [f"data: {text}" for text in changes(point.images, source)]
    if changed:
        raise ConfigError(
            "resume_interrupted=true goes on with the settings of the interrupted run, but these "
            "have changed:\n"
            + "\n".join(f"  {line}" for line in changed)
            + "\nSet them back, or start a new run in another `out` with "
            f"checkpoint='{point.path}'"
        )
