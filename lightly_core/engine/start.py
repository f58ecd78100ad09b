"""A run that never got to train leaves nothing behind that would stop the next try."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lightly_core.config.launch import is_first_process
from lightly_core.engine.folder import RunFolder

logger = logging.getLogger(__name__)

#: What a start writes before anything is trained, as glob patterns below the run folder.
_OF_A_START = (
    "config.json",
    "plugins.json",
    "train.log",
    "metrics.jsonl",
    "skipped_images.csv",
    "**/events.out.tfevents.*",
    "**/.*.writing",
)
#: A line of metrics.jsonl has it where the network was trained.
_TRAINED = '"train_loss"'


@contextmanager
def taken_back_if_untrained(folder: RunFolder) -> Iterator[None]:
    """Remove a run folder that this process made, if an error comes before anything was trained.

    It stays where it was there before, where a metric of training, a checkpoint, a model or any
    other file is in it that a start does not write, and in a process that is not the first.

    Args:
        folder: Of the run.
    """
    made = [path for path in (folder.root, *folder.root.parents) if not path.exists()]
    try:
        yield
    except BaseException:
        if made and is_first_process():
            _take_back(folder.root, made)
        raise


def _take_back(root: Path, made: list[Path]) -> None:
    written = {path for pattern in _OF_A_START for path in root.glob(pattern) if path.is_file()}
    there = {path for path in root.rglob("*") if path.is_symlink() or not path.is_dir()}
    if there - written or _has_trained(root / "metrics.jsonl"):
        return
    with suppress(OSError):  # what cannot be removed stops no error from being told
        for path in written:
            path.unlink()
        for path in sorted(root.rglob("*"), reverse=True):
            path.rmdir()
        for path in made:
            path.rmdir()


def _has_trained(metrics: Path) -> bool:
    try:
        return _TRAINED in metrics.read_text(encoding="utf-8")
    except OSError:
        return False
