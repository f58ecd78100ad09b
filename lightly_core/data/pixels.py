"""Arrays of pixels: bringing them to C channels and to [0, 1], whatever their depth."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

#: Pixel values that become 0 and 1, or None for the rule that `to_unit` states.
ValueRange: TypeAlias = "tuple[float, float] | None"

#: Float images that went through a resampling overshoot [0, 1] a little.
_FLOAT_TOLERANCE = 1e-3
_SET_RANGE = "transform_args.value_range=[low,high] scales them"


class UnreadableImage(Exception):
    """One image cannot be used; the text is a short reason without the image's name."""


def fit_channels(
    pixels: npt.NDArray[Any], num_channels: int, kind: str | None = None
) -> npt.NDArray[Any]:
    """Bring an array to C channels where that has one meaning only.

    Args:
        pixels: (H, W) or (H, W, c).
        num_channels: Channels wanted, C.
        kind: What the array came from, for the error; None: its number of channels.

    Returns:
        (H, W, C) of the same type: grey is repeated, RGB weighted to grey.

    Raises:
        UnreadableImage: c is neither C nor 1, nor 3 with C = 1; or the array is no picture.
    """
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]  # (H, W, 1)
    if pixels.ndim != 3 or 0 in pixels.shape:
        raise UnreadableImage(f"not a picture: an array of shape {pixels.shape}")
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
    """Bring pixels of any depth to the range that the framework works in.

    Args:
        pixels: Any shape; integers, floats or bool.
        bits: Bits a value that the file states; None: those of the type.
        value_range: Values that become 0 and 1, others are cut off; for more than 8 bit, signed
            values and floats. None: integers that state 9 to 15, 17 to 31 bits are divided by
            their largest value, others by 65535; floats are taken as they are.

    Returns:
        uint8 for up to 8 bit, else float32 in [0, 1].

    Raises:
        UnreadableImage: Integers outside [0, 65535], floats outside [0, 1] or not finite, for which
            no rule would be right for every picture.
    """
    if pixels.dtype == np.bool_:
        return _spread(pixels.astype(np.uint8), 1)
    if pixels.dtype == np.int8 and pixels.min() >= 0:
        return pixels.astype(np.uint8)
    if pixels.dtype == np.uint8:
        return pixels if bits is None or bits >= 8 else _spread(pixels, bits)
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
    """Show pixels on a white page.

    Args:
        pixels: (H, W, C) in [0, 1].
        alpha: (H, W) in [0, 1], 1 is opaque.
        premultiplied: Whether the pixels are multiplied by alpha already.

    Returns:
        (H, W, C) in [0, 1].
    """
    opaque = alpha[:, :, None]
    layer = pixels if premultiplied else pixels * opaque
    shown: npt.NDArray[np.float32] = np.clip(layer + (1 - opaque), 0, 1).astype(np.float32)
    return shown


def turned(pixels: npt.NDArray[Any], orientation: object) -> npt.NDArray[Any]:
    """Turn and mirror (H, W, C) as an EXIF orientation says; anything but 2 to 8 counts as 1."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::rows, ::columns])


def refuse_bomb(width: int, height: int, channels: int = 1) -> None:
    """Refuse sizes that Pillow refuses, too, so that a small file cannot fill the memory.

    Args:
        width: Pixels.
        height: Pixels.
        channels: Values a pixel; as many as an RGBA image of the largest size has are allowed.

    Raises:
        UnreadableImage: The image is larger.
    """
    limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
    if limit and width * height > limit:
        raise UnreadableImage(f"more than {limit} pixels")
    if limit and width * height * channels > 4 * limit:
        raise UnreadableImage(f"more than {4 * limit} values")


def _spread(pixels: npt.NDArray[Any], bits: int) -> npt.NDArray[np.uint8]:
    """Spread values of fewer than 8 bit over 0 to 255."""
    spread: npt.NDArray[np.uint8] = np.rint(pixels * np.float32(255 / (2**bits - 1)))
    return spread.astype(np.uint8)


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
