"""Reads and writes checkpoints: atomically, with a checksum, and without unpickling code."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from lightly_core.atomic import atomic_path
from lightly_core.checksum import damage_of, seal
from lightly_core.engine.background import Background
from lightly_core.engine.folder import RunFolder
from lightly_core.engine.snapshot import snapshot
from lightly_core.errors import ConfigError
from lightly_core.failures import explain
from lightly_core.parts.files import save_torch

logger = logging.getLogger(__name__)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Reads and writes the checkpoints of Lightning's Trainer.

    A save inside of `in_background` returns when the state has been copied to main memory, and a
    thread writes the copy. No two files are written at the same time: the next save waits until the
    thread has finished. Memory is needed for one copy, and every save leaves its file.
    Any other save, such as that of a user's callback, returns when the file is on the disk.

    Lightning's `AsyncCheckpointIO` is not used. Lightning replaces the writer that it wraps, it
    keeps a copy for every save that waits, and it copies on the device and without shared memory.

    Args:
        folder: The run folder; an old `last.ckpt` is renamed to `previous.ckpt`.
    """

    def __init__(self, folder: RunFolder) -> None:
        super().__init__()
        self._folder = folder
        self._background = Background("lightly-checkpoints")
        self._in_background = False

    @contextmanager
    def in_background(self, enabled: bool = True) -> Iterator[None]:
        """Let a thread write what is saved in this context.

        Args:
            enabled: False: write at once.
        """
        self._in_background = enabled
        try:
            yield
        finally:
            self._in_background = False

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: object = None
    ) -> None:
        """Write under a temporary name, then rename.

        Raises:
            OSError: The file, or an earlier one of the thread, cannot be written.
        """
        self.wait()
        if self._in_background:
            checkpoint = snapshot(checkpoint)
        self.then(partial(self._write, checkpoint, Path(path)))

    def then(self, job: Callable[[], object]) -> None:
        """Do something with the file that was saved last, after it has been written.

        Inside of `in_background` the thread does it, and not if the file could not be written.
        """
        if self._in_background:
            self._background.submit(job)
        else:
            self.wait()
            job()

    def raise_failure(self) -> None:
        """Raise the error of the thread, if it has failed. Does not wait for it."""
        self._background.raise_failure()

    def wait(self) -> None:
        """Wait until the thread has written everything, and raise its error."""
        self._background.wait()

    def teardown(self) -> None:
        """Wait until the thread has written everything, also after an error of the run.

        Lightning calls this at the end. The error of the run is being raised, or there is none and
        `wait` was called before: an error of the thread is only logged.
        """
        try:
            self._background.close()
        except Exception as error:
            logger.error("A checkpoint was not written: %s", explain(error) or error)

    def _write(self, checkpoint: dict[str, Any], path: Path) -> None:
        is_last = path == self._folder.last_checkpoint
        keep_old = self._folder.previous_checkpoint if is_last else None
        with atomic_path(path, keep_old=keep_old) as temporary:
            save_torch(checkpoint, temporary)
            seal(temporary)

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: object = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Read tensors and plain data; a file with anything else is refused."""
        return read_checkpoint(Path(path))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a training checkpoint to the CPU, after checking its checksum.

    Raises:
        ConfigError: The file is missing, damaged, or holds more than tensors and plain data.
    """
    try:
        damage = damage_of(path)
        if damage is not None:
            raise ConfigError(f"checkpoint '{path}' cannot be read: {damage}")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except ConfigError:
        raise
    except FileNotFoundError:
        raise ConfigError(f"checkpoint '{path}' does not exist") from None
    except Exception as error:  # torch raises many kinds for files of other formats
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"checkpoint '{path}' cannot be read: {line}") from error
    if not isinstance(checkpoint, dict):
        raise ConfigError(
            f"checkpoint '{path}' holds a {type(checkpoint).__name__}, expected a dictionary"
        )
    return checkpoint


def copy_checkpoint(source: Path, target: Path) -> None:
    """Copy a checkpoint. A hard link would let damage to one file affect the other."""
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
