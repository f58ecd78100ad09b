"""One file of the test set, with its expected result."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

#: Expected results of a file.
READ, LISTED, EITHER, IGNORED = "read", "listed", "either", "ignored"

PixelArray: TypeAlias = "npt.NDArray[np.float64]"


@dataclass(frozen=True)
class Case:
    """One file.

    Attributes:
        kind: Row of the table in which it is counted.
        name: File name in bytes, without folder.
        content: Content of the file; None if `make` creates it.
        must: Expected result: `READ`, `LISTED`, `EITHER` (read as an independent decoder reads it,
            or listed), or `IGNORED` (the file does not count as an image).
        expected: Expected pixels, (H, W, C) in [0, 255]; None: those of the independent decoder.
        channels: C, the channels with which the file is read separately.
        tolerance: Largest mean difference to the expected pixels, in levels of 255.
        reason: Text that the reason of a listed file must contain.
        value_range: See `lightly_core.data.pixels.to_unit`.
        make: Creates something other than a regular file at a path.
    """

    kind: str
    name: bytes
    content: bytes | None
    must: str = READ
    expected: PixelArray | None = None
    channels: int = 3
    tolerance: float = 0.51
    reason: str = ""
    value_range: tuple[float, float] | None = None
    make: Callable[[bytes], None] | None = None

    def write(self, folder: bytes) -> None:
        """Create the file in a folder."""
        path = os.path.join(folder, self.name)
        if self.make is not None:
            self.make(path)
            return
        with open(path, "wb") as file:
            file.write(self.content or b"")


def grey(colours: npt.NDArray[Any]) -> PixelArray:
    """Convert RGB (H, W, 3) to grey (H, W, 1) with the weights of ITU-R 601."""
    weighted: PixelArray = colours.astype(np.float64) @ np.array([[0.299], [0.587], [0.114]])
    return weighted


def repeated(values: npt.NDArray[Any]) -> PixelArray:
    """Repeat grey (H, W) to RGB (H, W, 3)."""
    return np.repeat(values.astype(np.float64)[:, :, None], 3, axis=2)


def on_white(colours: npt.NDArray[Any], alpha: npt.NDArray[Any]) -> PixelArray:
    """Composite (H, W, 3) in [0, 255] on white, with alpha (H, W) in [0, 1]."""
    opaque = alpha.astype(np.float64)[:, :, None]
    return colours.astype(np.float64) * opaque + 255 * (1 - opaque)


def smooth(height: int = 24, width: int = 32) -> npt.NDArray[np.uint8]:
    """Return a smooth image (H, W, 3) for lossy formats, which has no symmetry."""
    rows, columns = np.mgrid[0:height, 0:width]
    red = 40 + 180 * columns / width
    green = 200 - 150 * rows / height
    blue = 60 + 100 * (rows / height) * (columns / width)
    return np.rint(np.stack([red, green, blue], axis=2)).astype(np.uint8)


def noise(rng: np.random.Generator, *shape: int) -> npt.NDArray[np.uint8]:
    """Return random bytes."""
    return rng.integers(0, 256, shape, np.uint8)
