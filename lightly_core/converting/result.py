"""The result of `lightly_core.export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lightly_core.notebook import facts


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

    def _repr_html_(self) -> str:
        difference = self.largest_difference
        rows = [
            ("file", self.path),
            ("format", self.format),
            ("part", self.part),
            ("largest difference", None if difference is None else f"{difference:.1e}"),
            ("image sizes", "any" if self.any_size else None),
        ]
        return facts("Export", rows, self.snippet)
