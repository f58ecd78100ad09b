"""One file of the corpus, and what has to become of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

#: What has to become of a file.
READ, LISTED, EITHER, LEFT_OUT = "read", "listed", "either", "left out"

Picture: TypeAlias = "npt.NDArray[np.float64]"


@dataclass(frozen=True)
class Case:
    """One file.

    Attributes:
        kind: Row of the table that it counts in.
        name: File name, bytes, without a folder.
        content: What it holds; None where `make` makes it.
        must: What has to become of it: `READ`, `LISTED`, `EITHER` (as an independent decoding
            says, or listed), or `LEFT_OUT` (it does not count as an image).
        picture: What must be seen, (H, W, C) in [0, 255]; None: what the independent decoding sees.
        channels: C that the file is read with when it is read alone.
        tolerance: Largest mean difference to the picture, in levels of 255.
        reason: Text that the reason of a listed file must hold.
        value_range: See `lightly_core.data.pixels.to_unit`.
        make: Makes something else than a plain file at a path.
    """

    kind: str
    name: bytes
    content: bytes | None
    must: str = READ
    picture: Picture | None = None
    channels: int = 3
    tolerance: float = 0.51
    reason: str = ""
    value_range: tuple[float, float] | None = None
    make: Callable[[bytes], None] | None = None

    def write(self, folder: bytes) -> None:
        """Make the file in a folder."""
        path = os.path.join(folder, self.name)
        if self.make is not None:
            self.make(path)
            return
        with open(path, "wb") as file:
            file.write(self.content or b"")


def grey(picture: npt.NDArray[Any]) -> Picture:
    """Weight (H, W, 3) to (H, W, 1) as ITU-R 601 does."""
    weighted: Picture = picture.astype(np.float64) @ np.array([[0.299], [0.587], [0.114]])
    return weighted


def repeated(values: npt.NDArray[Any]) -> Picture:
    """Make (H, W, 3) of (H, W)."""
    return np.repeat(values.astype(np.float64)[:, :, None], 3, axis=2)


def on_white(picture: npt.NDArray[Any], alpha: npt.NDArray[Any]) -> Picture:
    """Show (H, W, 3) in [0, 255] on white; alpha (H, W) in [0, 1]."""
    opaque = alpha.astype(np.float64)[:, :, None]
    return picture.astype(np.float64) * opaque + 255 * (1 - opaque)


def smooth(height: int = 24, width: int = 32) -> npt.NDArray[np.uint8]:
    """Return a picture (H, W, 3) that lossy formats hardly change, and no turn maps on itself."""
    rows, columns = np.mgrid[0:height, 0:width]
    red = 40 + 180 * columns / width
    green = 200 - 150 * rows / height
    blue = 60 + 100 * (rows / height) * (columns / width)
    return np.rint(np.stack([red, green, blue], axis=2)).astype(np.uint8)


def noise(rng: np.random.Generator, *shape: int) -> npt.NDArray[np.uint8]:
    """Return random bytes."""
    return rng.integers(0, 256, shape, np.uint8)
