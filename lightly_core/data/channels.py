"""Converts a decoded image to the channels that the network expects. No torch here."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from PIL import Image

Source: TypeAlias = Image.Image | np.ndarray

_TO_RGB = ("1", "L", "P", "LA", "PA", "RGBA", "RGBX", "CMYK", "YCbCr")
_TO_GRAY = ("1", "LA")


def prepare(image: Source, num_channels: int) -> Source:
    """Convert a decoded image to `num_channels` channels.

    Args:
        image: Pillow image of 8 bit per channel, or an array (H, W) or (H, W, C), uint8 or
            floating point in [0, 1].
        num_channels: Channels to return. With three, grey images become RGB.

    Returns:
        A Pillow image in mode L or RGB, or an array (H, W, num_channels), uint8 or float32.

    Raises:
        ValueError: Channels, shape or number type do not fit.
    """
    if isinstance(image, np.ndarray):
        return _prepare_array(image, num_channels)
    if image.mode == "RGBA" and num_channels == 4:
        # As an array: Pillow would weight the other channels by the fourth when resizing.
        return np.asarray(image)
    if num_channels == 3 and image.mode in _TO_RGB:
        return image.convert("RGB")
    if num_channels == 1 and image.mode in _TO_GRAY:
        return image.convert("L")
    if (image.mode, num_channels) not in {("L", 1), ("RGB", 3)}:
        raise ValueError(
            f"the image has mode {image.mode}, the network expects {num_channels} channel(s) of "
            "8 bit; change transform_args.num_channels, or convert the image"
        )
    return image


def _prepare_array(image: np.ndarray, num_channels: int) -> np.ndarray:
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.size == 0:
        raise ValueError(f"expected an image of shape (H, W, C), got {image.shape}")
    if image.shape[2] == 1 and num_channels == 3:
        image = np.broadcast_to(image, (*image.shape[:2], 3))
    if image.shape[2] != num_channels:
        raise ValueError(
            f"the image has {image.shape[2]} channel(s), the network expects {num_channels}; "
            "change transform_args.num_channels, or convert the image"
        )
    if image.dtype == np.uint8:
        return image
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(
            f"expected pixels of type uint8, or floating point in [0, 1], got {image.dtype}; "
            "divide by the largest value"
        )
    return image.astype(np.float32, copy=False)


def image_size(image: Source) -> tuple[int, int]:
    """Return (height, width) in pixels."""
    if isinstance(image, np.ndarray):
        return image.shape[0], image.shape[1]
    return image.height, image.width
