"""The result of `lightly_core.embed`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class EmbedResult:
    """A file of features.

    Attributes:
        path: Path of the file.
        num_images: Images in the file.
        num_skipped: Images that could not be read.
        dim: Length of a feature vector, D.
    """

    path: Path
    num_images: int
    num_skipped: int
    dim: int
