"""The result of `lightly_core.embed`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lightly_core.notebook import facts


@dataclass(frozen=True)
class EmbedResult:
    """A file of features, or with `shard_size` a folder of files.

    Attributes:
        path: Path of the file or folder.
        num_images: Images in it, those of an earlier call included.
        num_skipped: Images that could not be read.
        dim: Length of a feature vector, D.
    """

    path: Path
    num_images: int
    num_skipped: int
    dim: int

    def _repr_html_(self) -> str:
        rows = [
            ("file", self.path),
            ("images", f"{self.num_images:,}"),
            ("unreadable images", self.num_skipped or None),
            ("dimensions", self.dim),
        ]
        return facts("Features", rows)
