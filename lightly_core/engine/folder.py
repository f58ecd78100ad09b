"""The run folder: what a run writes, where, and how an older run is cleared."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightly_core.atomic import atomic_path
from lightly_core.engine.lock import LOCK_FILE, held, holder
from lightly_core.errors import ConfigError
from lightly_core.places import place_problem

logger = logging.getLogger(__name__)

#: Everything that a run writes, as glob patterns below the run folder. `overwrite` removes these
#: and nothing else, so a new kind of file must be added here. The lock is not among them: it goes
#: when the run that holds it ends.
RUN_FILES = (
    "config.json",
    "plugins.json",
    "train.log",
    "metrics.jsonl",
    "report.html",
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
)


class RunFolder:
    """Names of the files in a run folder. Making one touches nothing.

    Args:
        root: The setting ``out``.

    Attributes:
        made: The folder and those above it that `opened` has made, the innermost first.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser().absolute()
        self.made: tuple[Path, ...] = ()
        self.checkpoints = self.root / "checkpoints"
        self.exported_models = self.root / "exported_models"
        self.non_finite = self.root / "non_finite"
        self.last_checkpoint = self.checkpoints / "last.ckpt"
        self.previous_checkpoint = self.checkpoints / "previous.ckpt"
        self.config = self.root / "config.json"
        self.plugins = self.root / "plugins.json"
        self.log = self.root / "train.log"
        self.metrics = self.root / "metrics.jsonl"

    def problems(self, *, overwrite: bool, resume: bool) -> list[str]:
        """Say what speaks against using this folder; reads only."""
        if problem := place_problem(self.root):
            return [f"config.out: {problem}; choose another folder"]
        for folder in (self.root, self.checkpoints, self.exported_models, self.non_finite):
            if folder.is_symlink() and not folder.exists():
                return [
                    f"config.out: '{folder}' is a link to '{os.readlink(folder)}', which does not "
                    "exist; make that folder, or remove the link"
                ]
            if folder.exists() and not folder.is_dir():
                return [f"config.out: expected a folder, but '{folder}' is a file"]
        if wrong := self._in_the_way(cleared=overwrite):
            return [
                f"config.out: '{wrong}' is a folder or a device, but a run writes a file of this "
                "name; rename or remove it, or choose another folder"
            ]
        if found := holder(self.root):
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
                "give the `out` of the run that is to go on, or another one for a new run"
                if self.root.exists()
                else "start the run without resume_interrupted"
            )
            return [
                f"config.resume_interrupted: nothing to resume, '{self.last_checkpoint}' does not "
                f"exist; {remedy}"
            ]
        if self.root.exists() and not overwrite:
            return [
                f"config.out: '{self.root}' exists already; choose another folder, or set "
                "overwrite=true to clear what an earlier run wrote there, or "
                "resume_interrupted=true to go on with it"
            ]
        return []

    def _in_the_way(self, *, cleared: bool) -> Path | None:
        """Return what lies in the place of a file of a run and cannot be written as one.

        Args:
            cleared: Links will be removed first, wherever they lead.
        """
        for pattern in (LOCK_FILE, *RUN_FILES):
            for path in self.root.glob(pattern):
                linked = cleared and path.is_symlink()
                if path.exists() and not path.is_file() and not linked:
                    return path
        return None

    def stamp(self) -> tuple[int, int, int] | None:
        """Return what changes when `last.ckpt` is written again; None where there is none."""
        try:
            status = self.last_checkpoint.stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

    @contextmanager
    def opened(
        self, *, overwrite: bool, resume: bool, stamp: tuple[int, int, int] | None = None
    ) -> Iterator[None]:
        """Make the folder, cleared of an earlier run, and hold its lock.

        Args:
            overwrite: Clear it first.
            resume: Go on with what is there.
            stamp: With `resume`, the stamp of the checkpoint that was read.

        Raises:
            ConfigError: See `problems`; or another run has come first.
        """
        problems = self.problems(overwrite=overwrite, resume=resume)
        if problems:
            raise ConfigError("\n".join(problems))
        missing = [path for path in (self.root, *self.root.parents) if not path.exists()]
        try:
            self.root.mkdir(parents=True)
            self.made = tuple(missing)
        except FileExistsError:  # checked above, unless another run has just made it
            problems = self.problems(overwrite=overwrite, resume=resume)
            if problems:
                raise ConfigError("\n".join(problems)) from None
        with held(self.root, ConfigError):
            # Not before: from here on no other process changes it.
            if resume and self.stamp() != stamp:
                raise ConfigError(
                    f"config.resume_interrupted: another run has written '{self.last_checkpoint}' "
                    "while this one started; start again to go on from there"
                )
            if overwrite:
                self._clear()
            if resume:
                self.sweep()
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self.exported_models.mkdir(exist_ok=True)
            yield

    def other_checkpoints(self) -> list[Path]:
        """Return the checkpoints beside `last.ckpt`: by epoch, most steps first, then the other."""
        kept = [path for path in self.checkpoints.glob("epoch=*-step=*.ckpt") if path.is_file()]
        kept.sort(key=lambda path: int("0" + "".join(re.findall(r"-step=(\d+)", path.name)[:1])))
        previous = [self.previous_checkpoint] if self.previous_checkpoint.is_file() else []
        return kept[::-1] + previous

    def sweep(self) -> None:
        """Remove what a killed run was just writing; only one run may use the folder then."""
        for pattern in RUN_FILES:
            if pattern.endswith(".writing"):
                for path in self.root.glob(pattern):
                    path.unlink(missing_ok=True)

    def _clear(self) -> None:
        """Remove files of an earlier run, also behind linked folders; the links themselves stay."""
        removed = 0
        for pattern in RUN_FILES:
            for path in self.root.glob(pattern):
                if path.is_file() or path.is_symlink():
                    path.unlink()
                    removed += 1
        for folder in (self.checkpoints, self.exported_models, self.non_finite):
            if folder.is_symlink():
                logger.info("'%s' is a link: its files are at '%s'.", folder, folder.resolve())
            elif folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        left = sorted(path.name for path in self.root.iterdir() if path.name != LOCK_FILE)
        logger.info("Cleared %d files of an earlier run in '%s'.", removed, self.root)
        if left:
            logger.info("Left in place, not written by a run: %s", ", ".join(left[:10]))


def write_json(path: Path, content: object) -> None:
    """Write `content` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
