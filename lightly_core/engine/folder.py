"""The run folder: paths of its files, checks before it is used, removal of an earlier run."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightly_core.atomic import atomic_path
from lightly_core.engine.lock import LOCK_FILE, held, in_use_message
from lightly_core.errors import ConfigError
from lightly_core.places import place_problem

logger = logging.getLogger(__name__)

#: Everything that a run writes, as glob patterns below the run folder. `overwrite` removes these
#: and nothing else, so a new kind of file must be added here. The lock file is not listed: it is
#: removed when the run that holds it ends.
RUN_FILES = (
    "config.json",
    "plugins.json",
    "train.log",
    "metrics.jsonl",
    "profile.json",
    "report.html",
    "report_data/*",
    "status.json",
    "remote.*.json",
    "unsent.*.jsonl",
    ".remote.*.json.part",
    ".unsent.*.jsonl.part",
    "skipped_images.csv",
    "events.out.tfevents.*",
    "checkpoints/last.ckpt",
    "checkpoints/previous.ckpt",
    "checkpoints/damaged.ckpt",
    "checkpoints/epoch=*-step=*.ckpt",
    "exported_models/exported_last.*",
    "exported_models/exported_best.*",
    "non_finite/step=*.pt",
    ".*.writing",
    "checkpoints/.*.writing",
    "exported_models/.*.writing",
    "non_finite/.*.writing",
    "report_data/.*.writing",
)

#: Folder below the run folder with the files of libraries that loggers use. `overwrite` removes it.
LOGGER_FOLDER = "loggers"


class RunFolder:
    """Paths of the files in a run folder. The constructor does not access the disk.

    Args:
        root: The setting ``out``.

    Attributes:
        created: The folder and its parents that `opened` created, the innermost first.
        was_empty: Whether `opened` found the folder without any file.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser().absolute()
        self.created: tuple[Path, ...] = ()
        self.was_empty = False
        self.checkpoints = self.root / "checkpoints"
        self.exported_models = self.root / "exported_models"
        self.non_finite = self.root / "non_finite"
        self.report_data = self.root / "report_data"
        self.last_checkpoint = self.checkpoints / "last.ckpt"
        self.previous_checkpoint = self.checkpoints / "previous.ckpt"
        self.config = self.root / "config.json"
        self.plugins = self.root / "plugins.json"
        self.log = self.root / "train.log"
        self.metrics = self.root / "metrics.jsonl"
        self.profile = self.root / "profile.json"

    def problems(self, *, overwrite: bool, resume: bool) -> list[str]:
        """Return the reasons why a run cannot use this folder. Writes nothing."""
        if problem := place_problem(self.root):
            return [f"config.out: {problem}; choose another folder"]
        for folder in (self.root, *self._folders()):
            if folder.is_symlink() and not folder.exists():
                return [
                    f"config.out: '{folder}' is a link to '{os.readlink(folder)}', which does not "
                    "exist; make that folder, or remove the link"
                ]
            if folder.exists() and not folder.is_dir():
                return [f"config.out: expected a folder, but '{folder}' is a file"]
        if wrong := self._blocking_path(cleared=overwrite):
            return [
                f"config.out: '{wrong}' is a folder or a device, but a run writes a file of this "
                "name; rename or remove it, or choose another folder"
            ]
        if found := in_use_message(self.root):
            return [f"config.out: {found}"]
        if resume:
            if overwrite:
                return [
                    "config.overwrite: overwrite=true would clear the run that "
                    "resume_interrupted=true is to continue; set only one of them"
                ]
            if self.last_checkpoint.is_file() or self.other_checkpoints():
                return []
            remedy = (
                "set `out` to the folder of the interrupted run, or start a new run in another one"
                if self.root.exists()
                else "start the run without resume_interrupted"
            )
            return [
                f"config.resume_interrupted: nothing to resume, '{self.last_checkpoint}' does not "
                f"exist; {remedy}"
            ]
        return [] if overwrite else self._not_empty()

    def _not_empty(self) -> list[str]:
        """Return the problem of a folder that holds anything but a lock."""
        try:
            names = os.listdir(self.root)
        except FileNotFoundError:
            return []
        except OSError as error:
            return [f"config.out: '{self.root}' cannot be read: {error.strerror}"]
        if not set(names) - {LOCK_FILE}:
            return []
        return [
            f"config.out: '{self.root}' exists already and is not empty; choose another folder, or "
            "set overwrite=true to clear what an earlier run wrote there, or "
            "resume_interrupted=true to go on with it"
        ]

    def _blocking_path(self, *, cleared: bool) -> Path | None:
        """Return a folder or device that has the path of a file that a run writes.

        Args:
            cleared: Whether links are removed before the run writes.
        """
        for pattern in (LOCK_FILE, *RUN_FILES):
            for path in self.root.glob(pattern):
                linked = cleared and path.is_symlink()
                if path.exists() and not path.is_file() and not linked:
                    return path
        return None

    def stamp(self) -> tuple[int, int, int] | None:
        """Return inode, size and time of change of `last.ckpt`; None if it does not exist."""
        try:
            status = self.last_checkpoint.stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

    @contextmanager
    def opened(
        self, *, overwrite: bool, resume: bool, stamp: tuple[int, int, int] | None = None
    ) -> Iterator[None]:
        """Create the folder, remove an earlier run if requested, and hold the lock.

        Args:
            overwrite: Remove the files of an earlier run first.
            resume: Continue the run in the folder.
            stamp: With `resume`, the value of `stamp()` when the checkpoint was read.

        Raises:
            ConfigError: The folder has `problems`, or another run has started in it.
        """
        problems = self.problems(overwrite=overwrite, resume=resume)
        if problems:
            raise ConfigError("\n".join(problems))
        missing = [path for path in (self.root, *self.root.parents) if not path.exists()]
        try:
            self.root.mkdir(parents=True)
            self.created = tuple(missing)
        except FileExistsError:  # checked above; another run has created it since
            problems = self.problems(overwrite=overwrite, resume=resume)
            if problems:
                raise ConfigError("\n".join(problems)) from None
        with held(self.root, ConfigError):
            # Compared under the lock: no other process can change the checkpoint now.
            if resume and self.stamp() != stamp:
                raise ConfigError(
                    f"config.resume_interrupted: another run has written '{self.last_checkpoint}' "
                    "while this one started; start again to go on from there"
                )
            if not (overwrite or resume):
                if problems := self._not_empty():  # another run has come and gone since
                    raise ConfigError("\n".join(problems))
                self.was_empty = True
            if overwrite:
                self._clear()
            if resume:
                self.sweep()
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self.exported_models.mkdir(exist_ok=True)
            yield

    def _folders(self) -> tuple[Path, ...]:
        return self.checkpoints, self.exported_models, self.non_finite, self.report_data

    def other_checkpoints(self) -> list[Path]:
        """Return the checkpoints by epoch, most steps first, then the previous `last.ckpt`."""
        kept = [path for path in self.checkpoints.glob("epoch=*-step=*.ckpt") if path.is_file()]
        kept.sort(key=lambda path: int("0" + "".join(re.findall(r"-step=(\d+)", path.name)[:1])))
        previous = [self.previous_checkpoint] if self.previous_checkpoint.is_file() else []
        return kept[::-1] + previous

    def sweep(self) -> None:
        """Remove the unfinished files of a killed run. No other run may use the folder."""
        for pattern in RUN_FILES:
            if pattern.endswith(".writing"):
                for path in self.root.glob(pattern):
                    path.unlink(missing_ok=True)

    def _clear(self) -> None:
        """Remove the files of an earlier run, also in linked folders, whose links are kept."""
        removed = 0
        for pattern in RUN_FILES:
            for path in self.root.glob(pattern):
                if path.is_file() or path.is_symlink():
                    path.unlink()
                    removed += 1
        if not (self.root / LOGGER_FOLDER).is_symlink():
            shutil.rmtree(self.root / LOGGER_FOLDER, ignore_errors=True)
        for folder in self._folders():
            if folder.is_symlink():
                logger.info("'%s' is a link: its files are at '%s'.", folder, folder.resolve())
            elif folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        left = sorted(path.name for path in self.root.iterdir() if path.name != LOCK_FILE)
        logger.info("Cleared %d files of an earlier run in '%s'.", removed, self.root)
        if left:
            logger.info("Kept, since a run does not write them: %s", ", ".join(left[:10]))


def write_json(path: Path, content: object) -> None:
    """Write `content` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
