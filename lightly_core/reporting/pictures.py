"""Small pictures in one file: thumbnails, views and maps of patch features."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from lightly_core.atomic import atomic_path

Pixels = npt.NDArray[np.uint8]

#: Qualities of JPEG, the first of which fits the limit of a file is used.
_QUALITIES = (85, 70, 50, 30, 10)


@dataclass(frozen=True)
class Sheet:
    """Equally large pictures in rows and columns, as one picture.

    Attributes:
        address: Data URI.
        columns: Number of columns.
        rows: Number of rows.
        width: Width of one picture in pixels.
        height: Height of one picture.
    """

    address: str
    columns: int
    rows: int
    width: int
    height: int


def shrunk(picture: Pixels, side: int) -> Pixels:
    """Return a picture (H, W, 3) whose longer side is at most `side` pixels."""
    height, width = picture.shape[:2]
    if max(height, width) <= side:
        return picture
    scale = side / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def tiled(pictures: list[Pixels], columns: int, gap: int = 0) -> Pixels:
    """Return pictures of one size (H, W, 3) as one, row by row, with white gaps between them."""
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    size = (rows * (height + gap) - gap, columns * (width + gap) - gap, 3)
    sheet = np.full(size, 255, np.uint8)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        top, left = row * (height + gap), column * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def write_picture(path: Path, picture: Pixels, max_bytes: int) -> None:
    """Write a picture (H, W, 3) as JPEG of at most `max_bytes`, or of the lowest quality."""
    content = b""
    for quality in _QUALITIES:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling=0)
        content = file.getvalue()
        if len(content) <= max_bytes:
            break
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_exact(path: Path, picture: Pixels) -> None:
    """Write a small picture (H, W, 3) without loss, as PNG."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", optimize=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(file.getvalue())


def read_sheet(path: Path, columns: int, rows: int) -> Sheet | None:
    """Read a picture of rows and columns without gaps; None if it is missing or damaged."""
    kinds = {".jpg": "jpeg", ".png": "png"}
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as picture:
            width, height = picture.size
    except (OSError, ValueError):
        return None
    address = f"data:image/{kinds[path.suffix]};base64,{base64.b64encode(content).decode()}"
    return Sheet(address, columns, rows, width // max(columns, 1), height // max(rows, 1))
