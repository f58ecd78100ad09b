"""Reads and writes checkpoints: atomically, and without ever unpickling code."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from lightly_core.atomic import atomic_path
from lightly_core.errors import ConfigError


class AtomicCheckpointIO(TorchCheckpointIO):
    """What Lightning's Trainer writes its checkpoints with."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: object = None
    ) -> None:
        """Write under a temporary name, then rename."""
        with atomic_path(Path(path)) as temporary:
            torch.save(checkpoint, temporary)

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: object = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Read tensors and plain data; a file with anything else is refused."""
        return read_checkpoint(Path(path))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a training checkpoint to the CPU.

    Raises:
        ConfigError: The file is missing, damaged, or holds more than tensors and plain data.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ConfigError(f"checkpoint '{path}' does not exist") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise ConfigError(
            f"checkpoint '{path}' cannot be read: {str(error).splitlines()[0]}"
        ) from error
    if not isinstance(checkpoint, dict):
        raise ConfigError(
            f"checkpoint '{path}' holds a {type(checkpoint).__name__}, expected a dictionary"
        )
    return checkpoint


def copy_checkpoint(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`: a hard link where the disk can, else a copy."""
    with atomic_path(target) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
