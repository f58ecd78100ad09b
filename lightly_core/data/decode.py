"""Decodes one image file: orientation, colour, transparency and depths above 8 bit.

Rules, for C = number of channels of the network's input:

* EXIF orientation is applied.
* Transparent images are composited on white.
* C = 3: all images are converted to RGB; grey is repeated. C = 1: all are converted to grey.
* Other C: the file must have exactly C bands, which are kept unchanged (RGBA for 4).
* Grey of 16 bit and more becomes float32, and so do TIFFs with more bands or bits than Pillow
  reads. See `lightly_core.data.pixels.to_unit`. Other colours become 8 bit.
* The first frame of an animation and the first page of a multi-page file are used.

The reader is chosen by the content of a file, not by its name: Pillow, or for HEIC, DICOM and
unusual TIFFs the modules of `lightly_core.data.formats`.
"""

from __future__ import annotations

import functools
import io
import math
import os
from collections.abc import Callable, Sequence
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from lightly_core.config.options.transform import ViewSpec
from lightly_core.data.formats import content, jpeg, png
from lightly_core.data.formats.dicom import read_dicom
from lightly_core.data.formats.heif import read_heif
from lightly_core.data.formats.jpeg_header import read_header
from lightly_core.data.formats.lab import lab_to_rgb
from lightly_core.data.formats.tiff import pillow_suffices, read_tiff
from lightly_core.data.formats.tiff_header import tiff_facts
from lightly_core.data.paths import why_not_opened
from lightly_core.data.pixels import (
    UnreadableImage,
    ValueRange,
    apply_orientation,
    fit_channels,
    to_unit,
)
from lightly_core.data.transparency import shown_on_white, with_plain_bands

#: Pillow's names of the formats that are read. Without this list a renamed file could reach any
#: of Pillow's readers, one of which runs Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF")

_ORIENTATION_TAG = 0x0112
_BITS_TAG = 258
_PHOTOMETRIC_TAG = 262
_WHITE_IS_ZERO = 0
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = (5, 6, 7, 8)  # orientations that swap height and width
_DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
#: JPEG, WebP and AVIF, which Pillow scans or loads into memory as a whole, whatever their size.
_JPEG = b"\xff\xd8\xff"
_READ_AT_ONCE = (_JPEG, b"RIFF", b"ftyp")
_MOST_BYTES_AT_ONCE = 1 << 29

#: Gets (height, width) of an image before it is decoded. Returns the fraction of its sides, in
#: (0, 1], to which it may be shrunk.
LeastScale: TypeAlias = Callable[[tuple[int, int]], float]


def decode(
    path: str | os.PathLike[str],
    num_channels: int = 3,
    *,
    least_scale: LeastScale | None = None,
    value_range: ValueRange = None,
) -> Image.Image | npt.NDArray[Any]:
    """Read an image file.

    Args:
        path: File to read.
        num_channels: Channels to return, C.
        least_scale: How far a JPEG may be shrunk while it is decoded. Shrinking by 2, 4 or 8 saves
            most of the time for large photographs. Called at most once, with the size after
            rotation by EXIF, and not for other formats. None: never shrink.
        value_range: See `lightly_core.data.pixels.to_unit`.

    Returns:
        A Pillow image in mode RGB (C = 3) or L (C = 1), or an array (H, W, C), uint8, or float32
        in [0, 1] for files above 8 bit.

    Raises:
        UnreadableImage: The file is missing, broken or too large, or its channels do not fit.
    """
    return _decode(lambda: _opened(path), num_channels, least_scale, value_range)


def decode_bytes(
    data: bytes,
    num_channels: int = 3,
    *,
    least_scale: LeastScale | None = None,
    value_range: ValueRange = None,
) -> Image.Image | npt.NDArray[Any]:
    """Read an image from the bytes of its file; see `decode`."""
    if not data:
        raise UnreadableImage("empty file")
    return _decode(lambda: io.BytesIO(data), num_channels, least_scale, value_range)


def _opened(path: str | os.PathLike[str]) -> IO[bytes]:
    refused = why_not_opened(path)
    if refused is not None:
        raise UnreadableImage(refused)
    return open(path, "rb")


def _decode(
    opened: Callable[[], IO[bytes]],
    num_channels: int,
    least_scale: LeastScale | None,
    value_range: ValueRange,
) -> Image.Image | npt.NDArray[Any]:
    head = b""
    try:
        with opened() as file:
            head = file.read(content.HEAD_BYTES)
            file.seek(0)
            return _read(file, head, num_channels, least_scale, value_range)
    except UnreadableImage:
        raise
    except MemoryError as error:
        raise UnreadableImage("needs more memory than is available") from error
    except Exception as error:  # a broken file can make Pillow raise nearly anything
        raise UnreadableImage(_reason(error, head)) from error


def _read(
    file: IO[bytes],
    head: bytes,
    num_channels: int,
    least_scale: LeastScale | None,
    value_range: ValueRange,
) -> Image.Image | npt.NDArray[Any]:
    """Read an opened file; arguments as in `decode`, and the file's first bytes."""
    kind = content.own_format(head)
    if kind == content.DICOM:
        return read_dicom(file, num_channels, value_range)
    if kind == content.HEIF:
        return convert(upright(read_heif(file)), num_channels)
    if head.startswith(_READ_AT_ONCE) or head[4:8] in _READ_AT_ONCE:
        _refuse_size(file)
    if head.startswith(_JPEG):
        return _read_jpeg(file.read(), num_channels, least_scale)
    facts = tiff_facts(file) if kind == content.TIFF else None
    try:
        image = Image.open(file, formats=_formats())
    except UnidentifiedImageError:
        if facts is not None:
            return read_tiff(file, facts, num_channels, value_range)
        raise
    with image:
        if facts is not None and not pillow_suffices(image, facts, num_channels, value_range):
            return read_tiff(file, facts, num_channels, value_range)
        shown, orientation = _load(file, image, head, num_channels, value_range)
    # Rotate after the decoded original is released, to save memory.
    del image
    return _turned(shown, orientation)


def _read_jpeg(
    data: bytes, num_channels: int, least_scale: LeastScale | None
) -> Image.Image | npt.NDArray[Any]:
    factor: int | None = None
    plain = read_header(data)
    if plain is not None:
        factor = _shrink_factor(least_scale, plain.height, plain.width)
        pixels = jpeg.decode_jpeg(data, plain[:2], plain.mode, factor, num_channels)
        if pixels is not None:
            return pixels
    with Image.open(io.BytesIO(data), formats=_formats()) as image:
        orientation = _orientation(image)
        if factor is None:
            turned = orientation in _ON_ITS_SIDE
            factor = _shrink_factor(least_scale, *(image.size if turned else image.size[::-1]))
            pixels = jpeg.decode_jpeg(data, image.size, image.mode, factor, num_channels)
            if pixels is not None:
                return apply_orientation(pixels, orientation)
        jpeg.draft(image, factor)
        image.load()
        converted = convert(image, num_channels)
    return _turned(converted, orientation)


def _shrink_factor(least_scale: LeastScale | None, height: int, width: int) -> int:
    return 1 if least_scale is None else jpeg.shrink_factor(least_scale((height, width)))


def _load(
    file: IO[bytes],
    image: Image.Image,
    head: bytes,
    num_channels: int,
    value_range: ValueRange,
) -> tuple[Image.Image | npt.NDArray[Any], int]:
    """Decode an image that Pillow has opened; also returns its EXIF orientation, not applied."""
    deep = png.deep_colours(file, image, wanted=value_range is not None)
    if deep is not None and value_range is not None:
        return fit_channels(to_unit(deep, 16, value_range), num_channels), _orientation(image)
    if deep is not None:
        upper = Image.fromarray((deep >> 8).astype(np.uint8))
        return convert(upper, num_channels), _orientation(image)
    png.correct_transparency(image, head)
    image.load()
    return convert(image, num_channels, value_range), _orientation(image)


def upright(image: Image.Image) -> Image.Image:
    """Apply an image's EXIF orientation.

    Unlike `PIL.ImageOps.exif_transpose` it neither copies images that are upright nor rewrites
    the metadata. Broken metadata is ignored.
    """
    transpose = _TRANSPOSES.get(_orientation(image))
    return image if transpose is None else image.transpose(transpose)


def _turned(
    image: Image.Image | npt.NDArray[Any], orientation: int
) -> Image.Image | npt.NDArray[Any]:
    if not isinstance(image, Image.Image):
        return apply_orientation(image, orientation)
    transpose = _TRANSPOSES.get(orientation)
    return image if transpose is None else image.transpose(transpose)


def convert(
    image: Image.Image, num_channels: int, value_range: ValueRange = None
) -> Image.Image | npt.NDArray[Any]:
    """Convert a decoded Pillow image of any mode to C channels, as `decode` returns it.

    Raises:
        UnreadableImage: The channels cannot be converted, or the values cannot be scaled.
    """
    if image.mode in _DEEP_MODES:
        return fit_channels(_deep_grey(image, value_range), num_channels)
    if image.mode == "LAB" and num_channels in (1, 3):
        image = lab_to_rgb(image)
    if num_channels in (1, 3):
        wanted = "RGB" if num_channels == 3 else "L"
        if image.has_transparency_data:
            return shown_on_white(image, wanted)
        return image if image.mode == wanted else image.convert(wanted)
    plain = with_plain_bands(image)
    kind = f"{plain.mode} of {len(plain.getbands())} channel(s)"
    return fit_channels(np.asarray(plain), num_channels, kind)


def smallest_useful_side(views: Sequence[ViewSpec]) -> int:
    """Return the smallest shorter side of an image from which no crop has to be enlarged.

    Pass it as `min_side`: large JPEGs are then shrunk while decoding without losing sharpness.

    Args:
        views: The views that are cropped from each image.

    Returns:
        Pixels. A crop of area fraction s and ratio r is at least sqrt(s * r) times the side in
        width and sqrt(s / r) times the side in height.
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


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # broken metadata does not affect the pixels
        return 1
    return orientation if isinstance(orientation, int) else 1


def _deep_grey(image: Image.Image, value_range: ValueRange) -> npt.NDArray[np.float32]:
    """Return the (H, W) values of a grey image above 8 bit in [0, 1]."""
    pixels = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    bits = 12 if tags.get(_BITS_TAG) == (12,) else None
    scaled: npt.NDArray[np.float32] = to_unit(pixels, bits, value_range)
    if tags.get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO and pixels.dtype.kind != "f":
        scaled = np.float32(1) - scaled  # Pillow inverts only up to 8 bit
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):  # the value that marks transparent pixels
        scaled = np.where(pixels == transparent, np.float32(1), scaled)
    return scaled


def _refuse_size(file: IO[bytes]) -> None:
    """Refuse a file that Pillow would read as a whole and that is too large for an image."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size > _MOST_BYTES_AT_ONCE:
        raise UnreadableImage(f"a file of {size / 2**30:.1f} GiB, too large for one image")


@functools.cache
def _formats() -> tuple[str, ...]:
    """Return the members of `FORMATS` that the installed Pillow supports."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _reason(error: Exception, head: bytes) -> str:
    """Return a short reason, without the path, why a file with these first bytes is not read."""
    if isinstance(error, FileNotFoundError):
        return "file is missing"
    if isinstance(error, PermissionError):
        return "no permission to read"
    if isinstance(error, UnidentifiedImageError):
        return _unidentified(head)
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels"
    text = " ".join(str(error).split())
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return "truncated"
    return f"{type(error).__name__}: {text}"[:200]


def _unidentified(head: bytes) -> str:
    """Describe a file that Pillow does not recognise by its first bytes."""
    if content.is_avif(head) and "AVIF" not in Image.OPEN:
        return "this Pillow cannot read AVIF, 11.3 or newer can"
    if content.own_format(head) == content.TIFF:
        return "broken TIFF"
    return content.other_content(head) or "not an image"
