"""Reading one image file right: orientation, colour, transparency and more than 8 bit.

Rules, for C = number of channels that the network wants:

* EXIF orientation is applied.
* Transparent parts show white, as a viewer on a white page would show them.
* C = 3: everything becomes RGB; grey is repeated. C = 1: everything becomes grey.
* Other C: the file must have exactly C bands of 8 bit, which are kept as they are (RGBA for 4).
* Grey of 16 bit and more becomes float32: integers divided by 65535 (by 4095 for 12-bit TIFF),
  floats taken as they are. Integers outside [0, 65535] and floats outside [0, 1] are refused,
  because no rule for scaling them would be right for every picture.
* An animation counts as its first frame.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from lightly_core.config.transform import ViewSpec

#: Pillow's names of the formats that are read. Without this limit a renamed file could start any
#: of Pillow's readers, one of which runs Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF")

_ORIENTATION_TAG = 0x0112
_BITS_TAG = 258
_PHOTOMETRIC_TAG = 262
_WHITE_IS_ZERO = 0
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
#: Float images that went through a resampling overshoot [0, 1] a little.
_FLOAT_TOLERANCE = 1e-3


class UnreadableImage(Exception):
    """One image cannot be used; the text is a short reason without the image's name."""


def decode(
    path: str | os.PathLike[str], num_channels: int = 3, *, min_side: int | None = None
) -> Image.Image | npt.NDArray[Any]:
    """Read an image file.

    Args:
        path: File to read.
        num_channels: Channels wanted, C.
        min_side: Shorter side in pixels down to which a JPEG may be shrunk while it is decoded
            (by 2, 4 or 8, which saves most of the time for big photographs). None: never shrink.

    Returns:
        A Pillow image in mode RGB (C = 3) or L (C = 1), or an array (H, W, C), uint8, or float32
        in [0, 1] for grey files above 8 bit.

    Raises:
        UnreadableImage: The file is missing, broken, too large, or has other channels.
    """
    try:
        with open(path, "rb") as file, Image.open(file, formats=_formats()) as image:
            if min_side is not None:
                # Does nothing for other formats, and never goes below the size given.
                image.draft(None, (min_side, min_side))
            image.load()
            return convert(upright(image), num_channels)
    except (UnreadableImage, MemoryError):
        raise
    except Exception as error:  # a broken file can make Pillow raise nearly anything
        raise UnreadableImage(_reason(error, path)) from error


def upright(image: Image.Image) -> Image.Image:
    """Turn and mirror an image as its EXIF orientation says.

    Unlike `PIL.ImageOps.exif_transpose` it neither copies images that are upright nor rewrites
    the metadata, and broken metadata counts as none.
    """
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # the pixels are fine whatever the metadata is
        return image
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def convert(image: Image.Image, num_channels: int) -> Image.Image | npt.NDArray[Any]:
    """Bring a decoded Pillow image of any mode to C channels, as `decode` returns it.

    Raises:
        UnreadableImage: The image has other channels or values that cannot be scaled.
    """
    if image.mode in _DEEP_MODES:
        return fit_channels(_deep_grey(image), num_channels)
    if num_channels in (1, 3):
        wanted = "RGB" if num_channels == 3 else "L"
        shown = _on_white(image) if image.has_transparency_data else image
        return shown if shown.mode == wanted else shown.convert(wanted)
    return fit_channels(np.asarray(_with_plain_bands(image)), num_channels)


def fit_channels(pixels: npt.NDArray[Any], num_channels: int) -> npt.NDArray[Any]:
    """Bring an array to C channels where that has one meaning only.

    Args:
        pixels: (H, W) or (H, W, c).
        num_channels: Channels wanted, C.

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
    raise UnreadableImage(f"{channels} channel(s), expected {num_channels}")


def unit_floats(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Check that float pixels are in [0, 1] and return them as float32, any shape.

    Raises:
        UnreadableImage: Values are outside [0, 1] by more than a rounding error, or not finite.
    """
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= -_FLOAT_TOLERANCE and high <= 1 + _FLOAT_TOLERANCE):  # also refuses nan
        raise UnreadableImage(f"float pixels from {low:.4g} to {high:.4g}, expected [0, 1]")
    clipped: npt.NDArray[np.float32] = np.clip(pixels, 0, 1).astype(np.float32)
    return clipped


def smallest_useful_side(views: Sequence[ViewSpec]) -> int:
    """Return the shorter image side that no crop of these views has to be enlarged from.

    Passed as `min_side`, it lets big JPEGs be shrunk while decoding without losing sharpness.

    Args:
        views: The views that are cut out of each image.

    Returns:
        Pixels. A crop of area share s and ratio r measures sqrt(s * r) times the side or more
        in width and sqrt(s / r) times in height.
    """
    sides = [1.0]
    for view in views:
        height, width = view.size
        resize = view.random_resize
        if resize is None:
            sides += [height, width]
        else:
            sides.append(width / math.sqrt(resize.min_scale * min(resize.min_ratio, 1.0)))
            sides.append(height * math.sqrt(max(resize.max_ratio, 1.0) / resize.min_scale))
    return math.ceil(max(sides))


def _deep_grey(image: Image.Image) -> npt.NDArray[np.float32]:
    """Return the (H, W) values of a grey image above 8 bit in [0, 1]."""
    pixels = np.asarray(image)
    if image.mode == "F":
        return unit_floats(pixels)
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high > 65535:
        raise UnreadableImage(f"grey values from {low} to {high}, expected [0, 65535]")
    tags = getattr(image, "tag_v2", {})
    full = 4095 if tags.get(_BITS_TAG) == (12,) else 65535
    scaled: npt.NDArray[np.float32] = pixels.astype(np.float32) / np.float32(full)
    if tags.get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO:  # Pillow inverts only up to 8 bit
        np.subtract(1, scaled, out=scaled)
    return scaled


def _on_white(image: Image.Image) -> Image.Image:
    """Return the RGB image that a transparent one shows on a white page."""
    layer = _with_plain_bands(image).convert("RGBA")
    page = Image.new("RGBA", layer.size, (255, 255, 255, 255))
    return Image.alpha_composite(page, layer).convert("RGB")


def _with_plain_bands(image: Image.Image) -> Image.Image:
    """Undo palettes and premultiplied transparency, which hide the real channels."""
    if image.mode in ("P", "PA"):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode == "1":
        return image.convert("L")
    return image.convert({"RGBa": "RGBA", "La": "LA"}.get(image.mode, image.mode))


@functools.cache
def _formats() -> tuple[str, ...]:
    """Return those of `FORMATS` that the installed Pillow was built with."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _reason(error: Exception, path: str | os.PathLike[str]) -> str:
    """Say in a few words, without the path, why a file cannot be read."""
    if isinstance(error, FileNotFoundError):
        return "file is missing"
    if isinstance(error, PermissionError):
        return "no permission to read"
    if isinstance(error, IsADirectoryError):
        return "is a folder"
    if isinstance(error, UnidentifiedImageError):
        if os.path.getsize(path) == 0:
            return "empty file"
        if os.fspath(path).lower().endswith(".avif") and "AVIF" not in Image.OPEN:
            return "this Pillow cannot read AVIF, 11.3 or newer can"
        return "not an image"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels"
    text = " ".join(str(error).split())
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return "truncated"
    return f"{type(error).__name__}: {text}"[:200]
