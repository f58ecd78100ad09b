"""Files that Pillow writes: its modes in all formats, orientations, animations, several pages."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from tools.hostile.case import (
    EITHER,
    READ,
    Case,
    PixelArray,
    grey,
    noise,
    on_white,
    repeated,
    smooth,
)

_MODES = {
    "png": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "tif": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB", "I;16", "I", "F"),
    "jpg": ("L", "RGB", "CMYK"),
    "webp": ("RGB", "RGBA"),
    "bmp": ("1", "L", "P", "RGB"),
    "gif": ("L", "P"),
    "ppm": ("1", "L", "I;16", "RGB"),
    "jp2": ("L", "LA", "RGB", "RGBA"),
    "avif": ("RGB", "RGBA"),
}
_COMPRESSIONS = ("tiff_lzw", "tiff_adobe_deflate", "packbits", "tiff_deflate", "zstd", "lzma")
_OPTIONS: dict[str, dict[str, Any]] = {
    "jpg": {"quality": 97, "subsampling": 0},
    "webp": {"lossless": True, "exact": True},
    "avif": {"quality": 95},
}
_FORMATS = {"tif": "TIFF", "jpg": "JPEG", "jp2": "JPEG2000"}


def formats() -> dict[str, tuple[str, ...]]:
    """Return the modes by extension, for the formats that this Pillow can write."""
    found = dict(_MODES)
    Image.init()
    for ending in ("webp", "jp2", "avif"):
        if _FORMATS.get(ending, ending.upper()) not in Image.SAVE:
            del found[ending]
    return found


def saved(image: Image.Image, ending: str, **options: Any) -> bytes:  # noqa: ANN401
    """Return the content of a file with an image."""
    buffer = io.BytesIO()
    image.save(
        buffer, _FORMATS.get(ending, ending.upper()), **{**_OPTIONS.get(ending, {}), **options}
    )
    return buffer.getvalue()


def in_mode(mode: str) -> tuple[Image.Image, PixelArray]:
    """Return a smooth image in a mode, and its expected pixels in [0, 255]."""
    colours = smooth()
    alpha = np.linspace(0, 255, colours.shape[1]).round().astype(np.uint8)
    alpha = np.broadcast_to(alpha, colours.shape[:2])
    image = Image.fromarray(colours)
    levels = np.asarray(image.convert("L"))
    if mode == "RGBA":
        pixels = np.dstack([colours, alpha])
        return Image.fromarray(pixels), on_white(colours, alpha / 255)
    if mode == "LA":
        return Image.fromarray(np.dstack([levels, alpha])), on_white(repeated(levels), alpha / 255)
    if mode == "I;16":
        deep = levels.astype(np.uint16) * 257
        return Image.fromarray(deep), repeated(levels)
    if mode == "I":
        return Image.fromarray(levels.astype(np.int32) * 257), repeated(levels)
    if mode == "F":
        return Image.fromarray(levels.astype(np.float32) / 255), repeated(levels)
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        shown = ImageCms.profileToProfile(image, *profiles, outputMode="LAB")
        assert shown is not None
        return shown, colours.astype(np.float64)
    if mode == "CMYK":
        # Without black, the inks are the complements of the colours.
        inks = np.dstack([255 - colours, np.zeros_like(levels)])
        return Image.frombytes("CMYK", image.size, inks.tobytes()), colours.astype(np.float64)
    if mode == "1":
        bits = levels > 128
        return Image.fromarray(bits), repeated(bits * 255)
    if mode == "P":
        flat = image.quantize(64)
        palette = np.array(flat.getpalette()).reshape(-1, 3)
        return flat, palette[np.asarray(flat)].astype(np.float64)
    return image.convert(mode), repeated(levels) if mode == "L" else colours.astype(np.float64)


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Yield about 130 files."""
    for ending, modes in formats().items():
        for mode in modes:
            image, expected = in_mode(mode)
            lossy = ending in ("jpg", "jp2", "avif") or mode == "LAB"
            tolerance = 3.0 if lossy else 0.6
            title = f"{ending}-{mode.replace(';', '')}"
            try:
                content = saved(image, ending)
            except OSError:  # an older Pillow does not write it
                continue
            yield Case(
                "modes of Pillow",
                f"{title}.{ending}".encode(),
                content,
                expected=expected,
                tolerance=tolerance,
            )
            yield Case(
                "modes of Pillow",
                f"{title}-grey.{ending}".encode(),
                content,
                expected=grey(expected),
                channels=1,
                tolerance=tolerance + 0.5,
            )
    yield from _compressions()
    yield from _orientations()
    yield from _several(rng)


def _compressions() -> Iterator[Case]:
    for compression in _COMPRESSIONS:
        for mode in ("L", "RGB", "I;16"):
            image, expected = in_mode(mode)
            try:
                content = saved(image, "tif", compression=compression)
            except Exception:  # this libtiff was built without it
                continue
            name = f"{compression}-{mode.replace(';', '')}.tif".encode()
            yield Case("modes of Pillow", name, content, expected=expected, tolerance=0.6)


def _orientations() -> Iterator[Case]:
    upright = smooth()
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
        9: upright,  # not a valid orientation, so the image is not rotated
    }
    for ending in ("jpg", "png", "webp", "tif"):
        if ending not in formats():
            continue
        for orientation, pixels in stored.items():
            exif = Image.Exif()
            exif[0x0112] = orientation
            content = saved(Image.fromarray(np.ascontiguousarray(pixels)), ending, exif=exif)
            name = f"orientation-{orientation}.{ending}".encode()
            yield Case(
                "EXIF orientations", name, content, expected=upright.astype(float), tolerance=2.0
            )


def _several(rng: np.random.Generator) -> Iterator[Case]:
    first = smooth()
    frames = [Image.fromarray(first), *(Image.fromarray(noise(rng, 24, 32, 3)) for _ in range(3))]
    row = "animations and pages"
    for ending in ("gif", "webp", "png", "tif", "avif"):
        if ending != "gif" and ending not in formats():
            continue
        content = saved(frames[0], ending, save_all=True, append_images=frames[1:])
        tolerance = 6.0 if ending in ("gif", "avif") else 0.6
        name = f"several.{ending}".encode()
        yield Case(row, name, content, expected=first.astype(float), tolerance=tolerance)
    buffer = io.BytesIO()
    options = {"quality": 97, "subsampling": 0, "save_all": True, "append_images": frames[1:]}
    frames[0].save(buffer, "MPO", **options)
    must = READ if _readable(buffer) else EITHER  # Pillow 10.1 cannot read what it writes
    content = buffer.getvalue()
    yield Case(row, b"several.jpg", content, must, expected=first.astype(float), tolerance=3.0)


def _readable(buffer: io.BytesIO) -> bool:
    try:
        Image.open(buffer).load()
    except OSError:
        return False
    return True
