"""Reads and writes checkpoints: atomically, with a checksum, and without unpickling code."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from pathlib import Path
from typing import IO, Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from lightly_core.atomic import atomic_path
from lightly_core.engine.folder import RunFolder
from lightly_core.errors import ConfigError

# A checkpoint is a zip archive, which may end in a comment: ours is the sha256 of all before it.
_MARK = b"lightly sha256 "
_COMMENT_SIZE = len(_MARK) + 64
_END, _END_SIZE = b"PK\x05\x06", 22
_BLOCK = 2**20


class AtomicCheckpointIO(TorchCheckpointIO):
    """What Lightning's Trainer writes its checkpoints with.

    Args:
        folder: The run folder; what was its `last.ckpt` becomes its `previous.ckpt`.
    """

    def __init__(self, folder: RunFolder) -> None:
        super().__init__()
        self._folder = folder

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: object = None
    ) -> None:
        """Write under a temporary name, then rename."""
        is_last = Path(path) == self._folder.last_checkpoint
        keep_old = self._folder.previous_checkpoint if is_last else None
        with atomic_path(Path(path), keep_old=keep_old) as temporary:
            torch.save(checkpoint, temporary)
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
    """Read a training checkpoint to the CPU, after a look at its checksum.

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
    except Exception as error:  # torch raises many kinds for files that are not its own
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"checkpoint '{path}' cannot be read: {line}") from error
    if not isinstance(checkpoint, dict):
        raise ConfigError(
            f"checkpoint '{path}' holds a {type(checkpoint).__name__}, expected a dictionary"
        )
    return checkpoint


def copy_checkpoint(source: Path, target: Path) -> None:
    """Copy a checkpoint; no link, so that what damages one file leaves the other."""
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def seal(path: Path) -> None:
    """Add the checksum of an archive that `torch.save` wrote; torch reads it as before."""
    with path.open("r+b") as file:
        file.seek(-_END_SIZE, 2)
        end = file.read(_END_SIZE)
        if not _ends_without_comment(end):
            raise ValueError(f"{path} is no zip archive, or has a comment already")
        file.seek(-2, 2)
        file.write(_COMMENT_SIZE.to_bytes(2, "little") + _MARK)
        file.seek(0)
        digest = _digest(file, None)
        file.seek(0, 2)
        file.write(digest.encode())


def damage_of(path: Path) -> str | None:
    """Say what is wrong with a checkpoint's bytes; None: nothing.

    Files without our checksum are judged by those that torch wrote for each tensor.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if size == 0:
            return "it is empty"
        tail_size = min(size, _END_SIZE + _COMMENT_SIZE)
        file.seek(-tail_size, 2)
        tail = file.read()
        if tail[_END_SIZE:].startswith(_MARK) and tail.startswith(_END):
            file.seek(0)
            if _digest(file, size - 64) == tail[-64:].decode(errors="replace"):
                return None
            return "its checksum differs, it was damaged after it was written"
        if not _ends_without_comment(tail[-_END_SIZE:]):
            return "it is cut off, or no checkpoint at all"
        file.seek(0)
        try:
            with zipfile.ZipFile(file) as archive:
                bad = archive.testzip()
        except Exception as error:  # zipfile, too, raises many kinds
            return f"it is no complete archive ({error})"
        return None if bad is None else f"the checksum of '{bad}' in it differs"


def _ends_without_comment(end: bytes) -> bool:
    return len(end) == _END_SIZE and end.startswith(_END) and end.endswith(b"\0\0")


def _digest(file: IO[bytes], size: int | None) -> str:
    """Return the sha256 of the next `size` bytes, or of all that follow."""
    digest = hashlib.sha256()
    left = float("inf") if size is None else size
    while left > 0 and (block := file.read(int(min(left, _BLOCK)))):
        digest.update(block)
        left -= len(block)
    return digest.hexdigest()
