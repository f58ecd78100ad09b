"""What `lightly_core.embed` returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class EmbedResult:
    """A file of features.

    Attributes:
        path: The file.
        num_images: Images in it.
        num_skipped: Images that could not be read.
        dim: Length of a feature vector, D.
    """

    path: Path
    num_images: int
    num_skipped: int
    dim: int
