"""Reads and writes checkpoints: atomically, with a checksum, and without unpickling code."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from lightly_core.atomic import atomic_path
from lightly_core.checksum import damage_of, seal
from lightly_core.engine.folder import RunFolder
from lightly_core.errors import ConfigError
from lightly_core.parts.files import save_torch


class AtomicCheckpointIO(TorchCheckpointIO):
    """Reads and writes the checkpoints of Lightning's Trainer.

    Args:
        folder: The run folder; an old `last.ckpt` is renamed to `previous.ckpt`.
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
