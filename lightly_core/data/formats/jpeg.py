"""Decodes JPEG files straight into an array, with the pixels that Pillow gives, in less time.

Pillow decodes to four bytes a pixel, and copies to convert these to an array. simplejpeg uses the
same library (libjpeg-turbo) and writes into the array. What it refuses is left to Pillow.
"""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt
from PIL import Image

try:
    import simplejpeg
except ImportError:  # no wheel for this platform
    simplejpeg = None

#: Factors by which a JPEG can be shrunk while it is decoded, without decoding the rest.
FACTORS = (8, 4, 2)


def shrink_factor(least_scale: float) -> int:
    """Return the largest factor in 1, 2, 4 and 8 whose inverse is at least `least_scale`."""
    return next((factor for factor in FACTORS if factor * least_scale <= 1), 1)


def decode_jpeg(
    data: bytes, size: tuple[int, int], mode: str, factor: int, num_channels: int
) -> npt.NDArray[Any] | None:
    """Decode a JPEG file.

    Args:
        data: The whole file.
        size: (width, height) of the image, and ...
        mode: ... its mode, as Pillow reports them.
        factor: Both sides are divided by this factor, 1, 2, 4 or 8, and rounded up.
        num_channels: 1 or 3.

    Returns:
        (H, W, C) uint8, not rotated by EXIF; or None if Pillow has to decode the file: it has
        other colours, is damaged, or simplejpeg is not installed.
    """
    colours = {("RGB", 3): "RGB", ("L", 3): "RGB", ("L", 1): "GRAY"}.get((mode, num_channels))
    if simplejpeg is None or colours is None:
        return None
    width, height = (math.ceil(side / factor) for side in size)
    try:
        pixels: npt.NDArray[Any] = simplejpeg.decode_jpeg(
            data, colours, min_height=height, min_width=width
        )
    except ValueError:  # also for damage that Pillow tolerates
        return None
    return pixels if pixels.shape[:2] == (height, width) else None


def draft(image: Image.Image, factor: int) -> None:
    """Make Pillow shrink an opened JPEG by a factor while it decodes it."""
    # Pillow takes the largest factor that leaves both sides at least as long as requested.
    width, height = image.size
    image.draft(None, (max(1, width // factor), max(1, height // factor)))
