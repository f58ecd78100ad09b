"""Find the checkpoint of an interrupted run, and refuse changed settings and images."""

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
    """The checkpoint is intact, but a run cannot be resumed from it."""


@dataclass(frozen=True)
class ResumePoint:
    """Where an interrupted run stopped.

    Attributes:
        path: The checkpoint: `last.ckpt`, or the newest intact one if that is damaged.
        epoch: Epoch to continue in.
        batches: Number of its batches that are done.
        step: Optimizer steps done.
        config: Resolved configuration of the interrupted run.
        buffer: Metrics collected since they were logged last.
        images: Fingerprint of its images, see `lightly_core.data.fingerprint.contents`; empty if
            the checkpoint has none.
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
    """Read `last.ckpt`, or the newest intact checkpoint if it is damaged.

    Raises:
        ConfigError: No checkpoint can be read, or it cannot be resumed.
    """
    last = folder.last_checkpoint
    try:
        return _point(last, read_checkpoint(last))
    except _NotResumableError:
        raise
    except ConfigError as error:
        damage = str(error)
    problems = [damage]
    found = _newest_intact(folder.other_checkpoints(), problems)
    if found is None:
        raise ConfigError(_no_intact_message(folder, problems))
    path, point = found
    logger.warning(
        "%s. Resuming from '%s' instead, after step %d; later steps are repeated.",
        damage,
        path,
        point.step,
    )
    return point


def restore_last(folder: RunFolder, point: ResumePoint) -> None:
    """Replace a damaged `last.ckpt` by the checkpoint from which the run resumes.

    The damaged file is renamed, so that it is never kept as `previous.ckpt`.
    """
    last = folder.last_checkpoint
    if point.path == last:
        return
    if last.is_file():
        os.replace(last, folder.checkpoints / "damaged.ckpt")
    copy_checkpoint(point.path, last)


def _newest_intact(others: list[Path], problems: list[str]) -> tuple[Path, ResumePoint] | None:
    """Return the intact checkpoint with most steps; add errors of others to `problems`."""
    best: tuple[Path, ResumePoint] | None = None
    for path in others:  # named by step, most steps first, then `previous.ckpt`
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


def _no_intact_message(folder: RunFolder, problems: list[str]) -> str:
    listed = "\n".join(f"  {problem}" for problem in problems)
    weights = folder.exported_models / "exported_last.pt"
    rest = f" from the weights that were exported last, checkpoint='{weights}'"
    rest = rest if weights.is_file() else ""
    return (
        f"no checkpoint in '{folder.checkpoints}' can be resumed:\n{listed}\n"
        "Restore one of these files from a backup and try again, or start a new run in another "
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
    """Refuse settings or images that differ from those of the interrupted run.

    Images are compared by name, size and content, not by location.

    Args:
        point: Where the interrupted run stopped.
        resolved: The new settings.
        source: The new images.

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
    world_size = was["derived"].get("world_size")
    if world_size != resolved.world_size:
        logger.warning(
            "The run had %s process(es) and goes on with %d. Its batches stay the same. Random "
            "numbers within a step, such as those of dropout, and the statistics of batch norms "
            "that are not synchronised depend on the number of processes.",
            world_size,
            resolved.world_size,
        )
