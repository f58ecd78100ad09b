"""The result of `lightly_core.export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ExportResult:
    """An exported network.

    Attributes:
        path: The file, or the folder.
        files: All files that were written.
        format: Name of the format.
        part: What was written: ``model``, ``wrapped_model`` or ``embedding_model``.
        largest_difference: Largest difference between what the file and the network compute for
            random images, as a fraction of the largest value; None if the file was not loaded.
        any_size: Whether the file takes images of any size that the network takes.
        snippet: Python code that loads it.
    """

    path: Path
    files: tuple[Path, ...]
    format: str
    part: str
    largest_difference: float | None
    any_size: bool
    snippet: str
