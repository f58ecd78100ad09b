"""Files of images in memory."""

import io

import numpy as np
from PIL import Image


def picture(value, kind="PNG"):
    """The file of a noisy image, 24 x 20 pixels; each value gives another one."""
    pixels = np.random.default_rng(value).integers(0, 255, (20, 24, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()
