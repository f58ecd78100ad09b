"""HEIC and HEIF through pillow-heif, an extra of this package."""

from __future__ import annotations

import importlib
from typing import IO, Any

from PIL import Image

from lightly_core.data.pixels import UnreadableImage, refuse_bomb


def read_heif(file: IO[bytes]) -> Image.Image:
    """Read the primary image of a file in 8 bit, with its orientation applied.

    Raises:
        UnreadableImage: pillow-heif is not installed, or the image has too many pixels.
        Exception: The file is broken.
    """
    try:
        heif: Any = importlib.import_module("pillow_heif")
    except ImportError:
        raise UnreadableImage("HEIC; install pillow-heif to read it") from None
    container = heif.open_heif(file, convert_hdr_to_8bit=True)
    main = container[container.primary_index]
    refuse_bomb(*main.size)
    image: Image.Image = main.to_pillow()
    return image
