"""The independent decoder: Pillow and a few lines of numpy, without code of this project."""

from __future__ import annotations

import warnings

import numpy as np
from PIL import Image, ImageOps

from tools.hostile.case import PixelArray, grey, on_white, repeated


def plainly(path: bytes, channels: int) -> PixelArray | None:
    """Decode a file as a viewer on a white page shows it. Return None if Pillow cannot read it.

    Args:
        path: Path of the file.
        channels: 1 or 3.

    Returns:
        (H, W, channels) in [0, 255].
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as opened:
                opened.load()
                image = ImageOps.exif_transpose(opened)
        except Exception:  # Pillow raises many kinds of errors for broken files
            return None
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            values = np.asarray(image).astype(np.float64)
            if "transparency" in image.info:
                values[values == image.info["transparency"]] = 65535
            seen = repeated(values * (255 if image.mode == "F" else 255 / 65535))
        elif image.has_transparency_data:
            pixels = np.asarray(image.convert("RGBA")).astype(np.float64)
            seen = on_white(pixels[:, :, :3], pixels[:, :, 3] / 255)
        else:
            seen = np.asarray(image.convert("RGB")).astype(np.float64)
    return grey(seen) if channels == 1 else seen
