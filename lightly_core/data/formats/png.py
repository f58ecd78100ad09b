"""PNG features that Pillow does not expose: 16-bit colours and their transparent value."""

from __future__ import annotations

from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY = 0
#: Pillow's names of the layouts that read the upper or the lower bytes.
_UPPER, _LOWER = ";16B", ";16L"
_DEEP = ("RGB;16B", "RGBA;16B")


def correct_transparency(image: Image.Image, head: bytes) -> None:
    """Scale the transparent value of a grey PNG of 2 or 4 bit as Pillow scales the pixels.

    Args:
        image: An opened file of any format; `Image.info` is changed.
        head: The file's first bytes.
    """
    value = image.info.get("transparency")
    if not (head.startswith(_SIGNATURE) and isinstance(value, int)):
        return
    bits, kind = head[24], head[25]
    if kind == _GREY and bits in (2, 4):
        image.info["transparency"] = (value & (2**bits - 1)) * 255 // (2**bits - 1)


def deep_colours(
    file: IO[bytes], image: Image.Image, *, wanted: bool
) -> npt.NDArray[np.uint16] | None:
    """Read a 16-bit colour PNG exactly, if its upper bytes do not suffice.

    Args:
        file: The file that `image` was opened from.
        image: The opened, not yet loaded file, of any format.
        wanted: Whether the lower bytes are needed.

    Returns:
        (H, W, 3) on white, without its EXIF orientation applied; None if the upper bytes suffice
        or the file is not such a PNG.
    """
    tiles: Any = getattr(image, "tile", None)
    layout = tiles[0][3] if image.format == "PNG" and tiles else None
    transparent = image.info.get("transparency")
    if layout not in _DEEP or not (wanted or isinstance(transparent, tuple)):
        return None
    upper = _bytes(file, layout)
    lower = _bytes(file, layout.replace(_UPPER, _LOWER))
    pixels: npt.NDArray[np.uint16] = (
        upper.astype(np.uint16) * np.uint16(256) + lower
    )  # (H, W, 3 or 4)
    if isinstance(transparent, tuple):
        pixels[(pixels == np.array(transparent, np.uint16)).all(axis=2)] = 65535
    if pixels.shape[2] == 4:
        opaque = pixels[:, :, 3:].astype(np.float32) / np.float32(65535)
        flat = pixels[:, :, :3] * opaque + (1 - opaque) * 65535
        pixels = np.rint(flat).astype(np.uint16)
    return pixels


def _bytes(file: IO[bytes], layout: str) -> npt.NDArray[np.uint8]:
    """Decode one of the two bytes of each value of a file."""
    file.seek(0)
    with Image.open(file, formats=("PNG",)) as image:
        opened: Any = image
        kind = type(opened.tile[0])  # a plain tuple before Pillow 11
        tiles = [(*tile[:3], layout) for tile in opened.tile]
        opened.tile = tiles if kind is tuple else [kind(*tile) for tile in tiles]
        image.load()
        return np.asarray(image)
