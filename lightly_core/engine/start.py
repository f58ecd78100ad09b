"""Remove the folder of a run that failed before training, so that it can be started again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lightly_core.engine.folder import LOGGER_FOLDER, RunFolder
from lightly_core.engine.lock import LOCK_FILE, held
from lightly_core.errors import LightlyError

#: Files that a run writes before training, as glob patterns below the run folder.
_START_FILES = (
    "config.json",
    "plugins.json",
    "train.log",
    "metrics.jsonl",
    "report_data/*",
    "status.json",
    "skipped_images.csv",
    "remote.*.json",
    "unsent.*.jsonl",
    ".remote.*.json.part",
    ".unsent.*.jsonl.part",
    "**/events.out.tfevents.*",
    "**/.*.writing",
)
#: Text of a line in metrics.jsonl once the network has been trained.
_TRAINED = '"train_loss"'


@contextmanager
def removed_if_untrained(folder: RunFolder) -> Iterator[None]:
    """Remove a run folder that this run created, if it fails before training.

    An empty folder that existed before is emptied. A folder is kept as it is if it had files, if
    another run uses it, or if it holds a metric of training, a checkpoint, a model or any other
    file that the start of a run does not write.

    Args:
        folder: Folder of the run. `RunFolder.created` lists the folders that the run created.
    """
    try:
        yield
    except BaseException:
        if folder.created or folder.was_empty:
            # A file that cannot be removed, or is in use, must not hide the error.
            with suppress(OSError, LightlyError):
                with held(folder.root):
                    removed = _remove_start_files(folder.root)
                for path in folder.created if removed else ():
                    path.rmdir()
        raise


def _remove_start_files(root: Path) -> bool:
    """Remove the files of a start; return False, and keep all, if there are other files."""
    written = {path for pattern in _START_FILES for path in root.glob(pattern) if path.is_file()}
    written |= {
        path for path in (root / LOGGER_FOLDER).rglob("*") if path.is_symlink() or path.is_file()
    }
    there = {path for path in root.rglob("*") if path.is_symlink() or not path.is_dir()}
    if there - written - {root / LOCK_FILE} or has_trained(root / "metrics.jsonl"):
        return False
    for path in written:
        path.unlink()
    for path in sorted((path for path in root.rglob("*") if path.is_dir()), reverse=True):
        path.rmdir()
    return True


def has_trained(metrics: Path) -> bool:
    """Return whether `metrics.jsonl` holds a metric of training."""
    try:
        return _TRAINED in metrics.read_text(encoding="utf-8")
    except OSError:
        return False
