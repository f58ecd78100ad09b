"""Features that are computed in parts: in memory, or in a file if they are large."""

from __future__ import annotations

import logging
import os
import tempfile

import numpy as np
import torch
from torch import Tensor

from lightly_core.config.auto.machine import memory_bytes
from lightly_core.errors import RunError

log = logging.getLogger(__name__)

#: Most bytes of features in memory if the size of the memory is not known.
_DEFAULT_BYTES = 4 << 30
#: Fraction of the machine's memory that features may take.
_MEMORY_FRACTION = 0.25


class FeatureRows:
    """Collects rows of features.

    If the number of rows is known, they are written to their place in one tensor. If this tensor
    is larger than a quarter of the machine's memory, it is mapped to an unnamed file in the folder
    of temporary files, which the environment variable TMPDIR sets. The system then keeps in memory
    what fits. The numbers are the same.

    Args:
        dim: D.
        total: Most rows; None: not known.

    Raises:
        RunError: The disk has no space for the file.
    """

    def __init__(self, dim: int, total: int | None) -> None:
        self._parts = [torch.empty(0, dim)]
        self._whole: Tensor | None = None
        self._count = 0
        if total is not None:
            large = 4 * total * dim > max_bytes()
            self._whole = _mapped(total, dim) if large else torch.empty(total, dim)

    def add(self, rows: Tensor) -> None:
        """Append rows (n, D) float32, on any device."""
        if self._whole is None:
            self._parts.append(rows.cpu())
            return
        self._whole[self._count : self._count + len(rows)] = rows
        self._count += len(rows)

    def finish(self) -> Tensor:
        """Return all rows, (N, D) float32 on the CPU."""
        return torch.cat(self._parts) if self._whole is None else self._whole[: self._count]


def max_bytes() -> int:
    """Return the most bytes of features in memory, a quarter of the machine's memory."""
    whole = memory_bytes()
    return _DEFAULT_BYTES if whole is None else int(whole * _MEMORY_FRACTION)


def _mapped(total: int, dim: int) -> Tensor:
    """Return an uninitialised tensor (total, dim) float32 in an unnamed file."""
    size = 4 * total * dim
    folder = tempfile.gettempdir()
    log.info("features of %.1f GB are kept in a temporary file in '%s'", size / 1e9, folder)
    try:
        with tempfile.TemporaryFile() as file:
            if hasattr(os, "posix_fallocate"):
                # Otherwise a full disk would end the process when a page is written.
                os.posix_fallocate(file.fileno(), 0, size)
            return torch.from_numpy(np.memmap(file, "<f4", "w+", shape=(total, dim)))
    except OSError as error:
        raise RunError(
            f"no space for {size / 1e9:.1f} GB of features in '{folder}': {error}; set the "
            "environment variable TMPDIR to a folder on a larger disk"
        ) from error
