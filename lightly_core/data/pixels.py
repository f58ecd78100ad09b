"""Converts arrays of pixels of any depth to C channels and to values in [0, 1]."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

#: Pixel values that are mapped to 0 and 1, or None for the rule in `to_unit`.
ValueRange: TypeAlias = "tuple[float, float] | None"

#: Resampled float images overshoot [0, 1] a little.
_FLOAT_TOLERANCE = 1e-3
_SET_RANGE = "transform_args.value_range=[low,high] scales them"


class UnreadableImage(Exception):
    """An image cannot be used; the text is a short reason without the image's name."""


def fit_channels(
    pixels: npt.NDArray[Any], num_channels: int, kind: str | None = None
) -> npt.NDArray[Any]:
    """Convert an array to C channels if the conversion is unambiguous.

    Args:
        pixels: (H, W) or (H, W, c).
        num_channels: Channels to return, C.
        kind: Description of the image for the error; None: its number of channels.

    Returns:
        (H, W, C) of the same type: grey is repeated, RGB is converted to luma.

    Raises:
        UnreadableImage: The shape is not that of an image, or c differs from C and the conversion
            is neither from 1 to 3 channels nor from 3 to 1.
    """
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]  # (H, W, 1)
    if pixels.ndim != 3 or 0 in pixels.shape:
        raise UnreadableImage(f"not an image: an array of shape {pixels.shape}")
    channels = pixels.shape[2]
    if channels == num_channels:
        return pixels
    if channels == 1 and num_channels == 3:
        return np.repeat(pixels, 3, axis=2)
    if channels == 3 and num_channels == 1:
        grey = pixels @ np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601, as Pillow
        if pixels.dtype == np.uint8:
            grey = np.rint(grey)
        return grey.astype(pixels.dtype)[:, :, None]
    found = f"{channels} channel(s)" if kind is None else kind
    raise UnreadableImage(f"{found}, expected {num_channels} channel(s)")


def to_unit(
    pixels: npt.NDArray[Any], bits: int | None = None, value_range: ValueRange = None
) -> npt.NDArray[Any]:
    """Scale pixels of any depth to uint8, or to float32 in [0, 1].

    Args:
        pixels: Any shape; integers, floats or bool.
        bits: Bits per value as stated by the file; None: those of the type.
        value_range: Values that are mapped to 0 and 1; others are clipped. It applies to more than
            8 bit, signed values and floats. None: integers with a stated depth of 9 to 15 or 17
            to 31 bits are divided by their largest value, others by 65535, and floats are not
            scaled.

    Returns:
        uint8 for up to 8 bit, else float32 in [0, 1].

    Raises:
        UnreadableImage: Without `value_range`, integers are outside [0, 65535], or floats are
            outside [0, 1]; or values are not finite. No default would suit all such images.
    """
    if pixels.dtype == np.bool_:
        return _scale_to_8_bit(pixels.astype(np.uint8), 1)
    if pixels.dtype == np.int8 and pixels.min() >= 0:
        return pixels.astype(np.uint8)
    if pixels.dtype == np.uint8:
        return pixels if bits is None or bits >= 8 else _scale_to_8_bit(pixels, bits)
    if pixels.dtype.kind not in "iuf":
        raise UnreadableImage(f"pixels of type {pixels.dtype}, expected integers or floats")
    if value_range is not None:
        return _from_range(pixels, *value_range)
    if pixels.dtype.kind == "f":
        return unit_floats(pixels)
    if pixels.dtype.kind == "u" and bits is not None and bits not in (16, 32, 64):
        return _divided(pixels, 2**bits - 1)
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high > 65535:
        raise UnreadableImage(f"values from {low} to {high}, expected [0, 65535]; {_SET_RANGE}")
    return _divided(pixels, 65535)


def unit_floats(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Check that float pixels are in [0, 1] and return them as float32, any shape.

    Raises:
        UnreadableImage: Values are outside [0, 1] by more than a rounding error, or not finite.
    """
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= -_FLOAT_TOLERANCE and high <= 1 + _FLOAT_TOLERANCE):  # also refuses nan
        raise UnreadableImage(
            f"float pixels from {low:.4g} to {high:.4g}, expected [0, 1]; {_SET_RANGE}"
        )
    clipped: npt.NDArray[np.float32] = np.clip(pixels, 0, 1).astype(np.float32)
    return clipped


def on_white(
    pixels: npt.NDArray[np.float32], alpha: npt.NDArray[np.float32], *, premultiplied: bool = False
) -> npt.NDArray[np.float32]:
    """Composite pixels on white.

    Args:
        pixels: (H, W, C) in [0, 1].
        alpha: (H, W) in [0, 1], 1 is opaque.
        premultiplied: Whether the pixels are already multiplied by alpha.

    Returns:
        (H, W, C) in [0, 1].
    """
    opaque = alpha[:, :, None]
    layer = pixels if premultiplied else pixels * opaque
    shown: npt.NDArray[np.float32] = np.clip(layer + (1 - opaque), 0, 1).astype(np.float32)
    return shown


def apply_orientation(pixels: npt.NDArray[Any], orientation: object) -> npt.NDArray[Any]:
    """Rotate and flip (H, W, C) by an EXIF orientation; anything but 2 to 8 counts as 1."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::rows, ::columns])


def refuse_bomb(width: int, height: int, channels: int = 1) -> None:
    """Apply Pillow's limit on image size, so that a small file cannot fill the memory.

    Args:
        width: Pixels.
        height: Pixels.
        channels: Values per pixel. The limit on all values is that of the largest RGBA image.

    Raises:
        UnreadableImage: The image is larger.
    """
    limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
    if limit and width * height > limit:
        raise UnreadableImage(f"more than {limit} pixels")
    if limit and width * height * channels > 4 * limit:
        raise UnreadableImage(f"more than {4 * limit} values")


def _scale_to_8_bit(pixels: npt.NDArray[Any], bits: int) -> npt.NDArray[np.uint8]:
    """Scale values of fewer than 8 bit to 0 to 255."""
    scaled: npt.NDArray[np.uint8] = np.rint(pixels * np.float32(255 / (2**bits - 1)))
    return scaled.astype(np.uint8)


def _divided(pixels: npt.NDArray[Any], full: int) -> npt.NDArray[np.float32]:
    divided: npt.NDArray[np.float32] = pixels.astype(np.float32)
    divided /= np.float32(full)
    return divided


def _from_range(pixels: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.float32]:
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise UnreadableImage("float pixels hold nan or infinite values")
    # float32 holds integers of up to 24 bit only.
    exact = np.float32 if pixels.dtype.itemsize <= 2 else np.float64
    scaled = pixels.astype(exact)
    scaled -= exact(low)
    scaled /= exact(high - low)
    return np.clip(scaled, 0, 1, out=scaled).astype(np.float32, copy=False)
