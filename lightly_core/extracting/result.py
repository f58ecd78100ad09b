"""The result of `lightly_core.extract_frames`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lightly_core.notebook import facts


@dataclass(frozen=True)
class ExtractResult:
    """A folder of frames.

    Attributes:
        path: The folder.
        num_videos: Videos of which it has frames, those of earlier calls included.
        num_frames: Frames in it.
        num_near_duplicates: Frames that were left out because they resemble earlier ones.
        problems: Reasons why videos could not be read, or not to their end, by their names.
    """

    path: Path
    num_videos: int
    num_frames: int
    num_near_duplicates: int
    problems: dict[str, str]

    def _repr_html_(self) -> str:
        rows = [
            ("folder", self.path),
            ("frames", f"{self.num_frames:,}"),
            ("videos", f"{self.num_videos:,}"),
            ("near duplicates left out", self.num_near_duplicates or None),
            ("videos with problems", len(self.problems) or None),
        ]
        return facts("Frames", rows)
