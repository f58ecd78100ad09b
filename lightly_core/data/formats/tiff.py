"""TIFF files that Pillow does not read, or not with all bands, through tifffile.

An extra of this package. Rules:

* The first page is used.
* C = 1 or 3: the colours that the file declares. Transparent pixels are composited on white,
  further bands of a colour image are dropped, palettes become RGB, "white is zero" is inverted.
* Other C: exactly C bands, unchanged, whatever their meaning.
"""

from __future__ import annotations

import importlib
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from lightly_core.data.formats.tiff_header import TiffFacts
from lightly_core.data.pixels import (
    UnreadableImage,
    ValueRange,
    apply_orientation,
    fit_channels,
    on_white,
    refuse_bomb,
    to_unit,
)

_ORIENTATION_TAG = 274
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE = range(4)
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3}
_PREMULTIPLIED, _ALPHA = 1, 2
_SEE_THROUGH = ((_PREMULTIPLIED,), (_ALPHA,))
_UNSIGNED, _SIGNED = 1, 2
#: Compressions whose decoders are known to stay within the size that the file declares.
_COMPRESSIONS = {
    **{1: "none", 5: "LZW", 7: "JPEG", 8: "Deflate", 32946: "Deflate", 32773: "PackBits"},
    **{34925: "LZMA", 50000: "Zstandard"},
}


def pillow_suffices(
    image: Image.Image, facts: TiffFacts, num_channels: int, value_range: ValueRange
) -> bool:
    """Return whether Pillow reads everything that is needed of a TIFF that it can open.

    Args:
        image: The opened file.
        facts: Its header.
        num_channels: Channels to return, C.
        value_range: See `to_unit`.
    """
    if facts.bits == 8 and facts.sample_format == _SIGNED:
        return False  # Pillow reads signed values as unsigned ones
    if facts.swapped and facts.bits > 8 and facts.sample_format != _UNSIGNED:
        return False  # Pillow swaps bytes that libtiff has already swapped
    if facts.bands == 1:
        return True
    if facts.planar and (facts.bits > 8 or facts.bands != 3):
        return False  # Pillow assumes another layout of the bands
    if value_range is not None and facts.bits > 8:
        return False  # Pillow reduces colours to 8 bit
    if num_channels in (1, 3):
        return True
    return facts.bits <= 8 and len(image.getbands()) == facts.bands


def read_tiff(
    file: IO[bytes], facts: TiffFacts, num_channels: int, value_range: ValueRange
) -> npt.NDArray[Any]:
    """Read the first page of a TIFF file.

    Args:
        file: The file.
        facts: Its header, see `tiff_facts`.
        num_channels: Channels to return, C.
        value_range: See `to_unit`.

    Returns:
        (H, W, C) uint8, or float32 in [0, 1] above 8 bit.

    Raises:
        UnreadableImage: tifffile is not installed, the bands do not fit, the values cannot be
            scaled, the compression is not supported, or the file is truncated.
        Exception: The file is broken.
    """
    name = str(facts)
    try:
        tifffile: Any = importlib.import_module("tifffile")
    except ImportError:
        raise UnreadableImage(f"{name}; install tifffile and imagecodecs to read it") from None
    # Metadata of GDAL, ImageJ and others about further pages is not needed.
    file.seek(0)
    with tifffile.TiffFile(file, name="image", _multifile=False, is_ome=False) as tiff:
        page = tiff.pages[0]
        _check(page, name, tiff.filehandle.size)
        pixels = _pixels(file, page, name)
        if page.axes == "SYX":
            pixels = pixels.transpose(1, 2, 0)
        elif page.axes == "YX":
            pixels = pixels[:, :, None]
        shown = _channels(page, pixels, name, num_channels, value_range)
        tag = page.tags.get(_ORIENTATION_TAG)
        return apply_orientation(shown, tag.value if tag is not None else 1)


def _pixels(file: IO[bytes], page: Any, name: str) -> npt.NDArray[Any]:  # noqa: ANN401
    """Decode a page; the order of the axes is `page.axes`."""
    if page.bitspersample == 24 and page.sampleformat == _UNSIGNED:
        return _three_bytes(file, page, name)
    try:
        pixels: npt.NDArray[Any] = page.asarray(maxworkers=1)
    except ValueError as error:
        if "imagecodecs" in str(error):
            raise UnreadableImage(f"{name}; install imagecodecs to read it") from error
        raise
    return pixels


def _three_bytes(file: IO[bytes], page: Any, name: str) -> npt.NDArray[np.uint32]:  # noqa: ANN401
    """Read values of 24 bit, whose byte order tifffile ignores."""
    if int(page.compression) != 1 or page.is_tiled:
        raise UnreadableImage(f"{name}, which is supported only in uncompressed strips")
    content = bytearray()
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.seek(offset)
        content += file.read(count)
    parts = np.frombuffer(content, np.uint8).reshape(*page.shape, 3).astype(np.uint32)
    shifts = (16, 8, 0) if page.parent.byteorder == ">" else (0, 8, 16)
    values: npt.NDArray[np.uint32] = np.left_shift(parts, np.array(shifts, np.uint32)).sum(-1)
    return values.astype(np.uint32)


def _check(page: Any, name: str, file_size: int) -> None:  # noqa: ANN401
    """Refuse pages that are too large, truncated, or not an image."""
    if page.axes not in ("YX", "YXS", "SYX"):
        raise UnreadableImage(f"{name}, not a 2D image but {page.axes or 'nothing'}")
    refuse_bomb(page.imagewidth, page.imagelength, page.samplesperpixel)
    if int(page.compression) not in _COMPRESSIONS:
        raise UnreadableImage(f"{name}, with an unsupported compression: {page.compression!r}")
    if page.dtype is None:
        raise UnreadableImage(f"{name}, with an unsupported type of values")
    ends = zip(page.dataoffsets, page.databytecounts, strict=False)
    if any(count and offset + count > file_size for offset, count in ends):
        raise UnreadableImage("truncated")


def _channels(
    page: Any,  # noqa: ANN401
    pixels: npt.NDArray[Any],
    name: str,
    num_channels: int,
    value_range: ValueRange,
) -> npt.NDArray[Any]:
    """Convert the bands (H, W, S) of a page to C channels."""
    bits = page.bitspersample if isinstance(page.bitspersample, int) else None
    if page.sampleformat != _UNSIGNED:
        bits = None
    photometric = int(page.photometric)
    if num_channels not in (1, 3):
        return fit_channels(to_unit(pixels, bits, value_range), num_channels, name)
    if photometric == _PALETTE and page.colormap is not None and pixels.shape[2] == 1:
        table = np.rint(page.colormap.T / np.float32(257)).astype(np.uint8)  # (entries, 3)
        return fit_channels(table[pixels[:, :, 0]], num_channels, name)
    colours = _COLOURS.get(photometric)
    bands = pixels.shape[2]
    extras = tuple(int(extra) for extra in page.extrasamples)
    if colours is None and bands != num_channels:
        raise UnreadableImage(f"{name}, {page.photometric!r}, expected {num_channels} channel(s)")
    if colours is None or (colours == 1 and bands > 1 and extras[:1] not in _SEE_THROUGH):
        colours = bands
    shown = to_unit(pixels[:, :, :colours], bits, value_range)
    if photometric == _WHITE_IS_ZERO:
        shown = (255 if shown.dtype == np.uint8 else np.float32(1)) - shown
    if colours < bands and extras[:1] in _SEE_THROUGH:
        shown = _on_white(shown, pixels[:, :, colours], bits, extras[0] == _PREMULTIPLIED)
    return fit_channels(shown, num_channels, name)


def _on_white(
    pixels: npt.NDArray[Any], alpha: npt.NDArray[Any], bits: int | None, premultiplied: bool
) -> npt.NDArray[Any]:
    """Composite (H, W, C) on white; alpha (H, W) spans the whole range of its type."""
    if alpha.dtype.kind == "f":
        opaque = np.clip(alpha, 0, 1).astype(np.float32)
    else:
        opaque = alpha.astype(np.float32) / np.float32(2 ** (bits or 8 * alpha.dtype.itemsize) - 1)
    if pixels.dtype != np.uint8:
        return on_white(pixels, opaque, premultiplied=premultiplied)
    flat = on_white(pixels / np.float32(255), opaque, premultiplied=premultiplied)
    return np.rint(flat * 255).astype(np.uint8)
