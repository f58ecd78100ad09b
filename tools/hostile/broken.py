"""Truncated, damaged and renamed files, files of other kinds, and decompression bombs."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from functools import partial

import numpy as np

from tools.hostile.case import EITHER, LISTED, Case, PixelArray, noise, smooth
from tools.hostile.pillows import formats, in_mode, saved
from tools.hostile.writers import chunk, tiff

_CUTS, _FLIPS, _HOLES = 10, 22, 6
_ENDINGS = ("jpg", "png", "tif", "gif", "bmp", "webp")


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Yield about 600 files."""
    bases = dict(_bases())
    for title, (ending, content, expected, tolerance) in bases.items():
        yield from _damaged(rng, title, ending, content, tolerance)
        yield from _disguised(title, content, expected, tolerance)
    yield from _others(rng)
    yield from _bombs()


def _bases() -> Iterator[tuple[str, tuple[str, bytes, PixelArray, float]]]:
    """Yield intact files by title: extension, content, expected pixels and tolerance."""
    for ending, modes in formats().items():
        for mode in modes[-2:] if ending in ("png", "tif") else modes[-1:]:
            image, expected = in_mode(mode)
            lossy = ending in ("jpg", "jp2", "avif")
            title = f"{ending}-{mode.replace(';', '')}"
            yield title, (ending, saved(image, ending), expected, 3.0 if lossy else 0.6)
    image, expected = in_mode("RGB")
    for compression in ("tiff_lzw", "tiff_adobe_deflate"):
        content = saved(image, "tif", compression=compression)
        yield compression, ("tif", content, expected, 0.6)
    bands = noise(np.random.default_rng(1), 11, 13, 6)
    yield "bands", ("tif", tiff(bands, 8, extras=[0] * 5), bands.astype(float), 0.51)


def _damaged(
    rng: np.random.Generator, title: str, ending: str, content: bytes, tolerance: float
) -> Iterator[Case]:
    """Yield a file truncated, with flipped bits, and with a range of zero bytes.

    The expected pixels are those that Pillow reads. If it cannot read a file, any are allowed.
    """
    either = partial(Case, must=EITHER, tolerance=max(tolerance, 1.1))
    for number, place in enumerate(np.linspace(0, len(content) - 1, _CUTS).astype(int)):
        name = f"cut-{title}-{number}.{ending}".encode()
        yield either("truncated", name, content[: int(place)])
    for number in range(_FLIPS):
        damaged = bytearray(content)
        # Half of the flips are in the head of the file, which describes the layout.
        end = len(damaged) if number % 2 else min(len(damaged), 200)
        for _ in range(1 + number % 5):
            damaged[rng.integers(end)] ^= 1 << int(rng.integers(8))
        yield either("bits flipped", f"flip-{title}-{number}.{ending}".encode(), bytes(damaged))
    for number in range(_HOLES):
        start = int(rng.integers(len(content)))
        hole = bytes(len(content[start : start + 40]))
        damaged = bytearray(content[:start] + hole + content[start + 40 :])
        yield either("holes", f"hole-{title}-{number}.{ending}".encode(), bytes(damaged))


def _disguised(
    title: str, content: bytes, expected: PixelArray, tolerance: float
) -> Iterator[Case]:
    """Yield an intact file with other extensions, and with bytes after its end."""
    channels = expected.shape[2]
    for ending in _ENDINGS:
        name = f"disguised-{title}.{ending}".encode()
        yield Case(
            "wrong file extensions",
            name,
            content,
            expected=expected,
            channels=channels,
            tolerance=tolerance,
        )
    name = f"tail-{title}.jpg".encode()
    # GIF, WebP and AVIF may interpret bytes after their end.
    yield Case("wrong file extensions", name, content + b"tail" * 99, must=EITHER, tolerance=3.0)


def _others(rng: np.random.Generator) -> Iterator[Case]:
    """Yield files that are not images, with names of images."""
    contents = {
        "empty": (b"", "empty file"),
        "zeros": (bytes(5000), "zero bytes"),
        "text": (b"just some text\n" * 9, "not an image"),
        "html": (b"\n<!DOCTYPE html><html><body>404</body></html>", "web page"),
        "svg": (b'<?xml version="1.0"?><svg xmlns="x"/>', "SVG"),
        "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "PDF"),
        "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        "zip": (b"PK\3\4" + bytes(60), "ZIP"),
        "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        "psd": (b"8BPS\0\1" + bytes(60), "Photoshop"),
        "jxl": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "JPEG XL"),
        "mp4": (b"\0\0\0\x18ftypisom\0\0\0\0isomavc1" + bytes(40), "video"),
        "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(60), "HDF5"),
        "numpy": (b"\x93NUMPY\1\0" + bytes(60), "NumPy"),
        "gzip": (b"\x1f\x8b\x08" + bytes(60), "gzip"),
        "ico": (b"\0\0\1\0\1\0\x10\x10" + bytes(60), "icon"),
        "exr": (b"v/1\x01" + bytes(60), "OpenEXR"),
        "nifti": (bytes(344) + b"n+1\0" + bytes(60), "NIfTI"),
        "raf": (b"FUJIFILMCCD-RAW " + bytes(60), "raw data"),
        "fits": (b"SIMPLE  =                    T", "FITS"),
    }
    for title, (content, reason) in contents.items():
        for ending in ("jpg", "png", "tif"):
            name = f"other-{title}.{ending}".encode()
            yield Case("other contents", name, content, must=LISTED, reason=reason)
    for number in range(30):
        content = noise(rng, int(rng.integers(1, 3000))).tobytes()
        name = f"noise-{number}.{_ENDINGS[number % len(_ENDINGS)]}".encode()
        yield Case("other contents", name, content, must=LISTED)


def _bombs() -> Iterator[Case]:
    """Yield small files that declare or decompress to very large images."""
    row = "bombs"
    header = partial(struct.pack, ">IIBBBBB")
    start = b"\x89PNG\r\n\x1a\n"
    end = chunk(b"IEND", b"")
    many = zlib.compress(bytes(50_000_000), 9)
    for width, height in ((60000, 60000), (2**31 - 1, 1), (1, 2**31 - 1), (0, 5), (2**32 - 1, 9)):
        body = chunk(b"IHDR", header(width, height, 8, 2, 0, 0, 0)) + chunk(b"IDAT", many)
        yield Case(row, f"png-{width}x{height}.png".encode(), start + body + end, must=LISTED)
    small = chunk(b"IHDR", header(8, 8, 8, 0, 0, 0, 0))
    text = chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(200_000_000), 9))
    pixels = chunk(b"IDAT", zlib.compress(bytes(9 * 8)))
    yield Case(row, b"png-text.png", start + small + text + pixels + end, must=EITHER)
    yield Case(row, b"png-long.png", start + small + chunk(b"IDAT", many) + end, must=EITHER)
    yield Case(row, b"gif.gif", b"GIF89a\xff\xff\xff\xff\0\0\0" + b"\x2c" + bytes(40), must=LISTED)
    bitmap = b"BM" + bytes(8) + struct.pack("<IIiiHHI", 54, 40, 100000, 100000, 1, 24, 0)
    yield Case(row, b"bmp.bmp", bitmap + bytes(60), must=LISTED)
    yield Case(row, b"pnm.ppm", b"P6 99999 99999 255\n" + bytes(60), must=LISTED)
    yield Case(row, b"pnm-long.ppm", b"P6 " + b"9" * 5000 + b" 1 255\n", must=LISTED)
    values = np.zeros((4, 4, 5), np.uint8)
    for title, tags in {
        "wide": [(256, "I", [2**31])],
        "large": [(256, "I", [60000]), (257, "I", [60000])],
        "bands": [(277, "H", [65535])],
        "strip": [(279, "I", [2**32 - 1])],
        "deep": [(258, "H", [65535] * 5)],
        "rows": [(278, "I", [2**32 - 1])],
        "none": [(256, "I", [0])],
    }.items():
        content = tiff(values, 8, extras=[0] * 4, tags=tags)
        yield Case(row, f"tiff-{title}.tif".encode(), content, must=EITHER)
    flat = tiff(values, 8, extras=[0] * 4, deflated=True, rows_per_strip=4)
    strip = zlib.compress(values.tobytes())
    longer = flat.replace(strip, many)
    assert len(longer) > len(flat)
    yield Case(row, b"tiff-deflate.tif", longer, must=EITHER)
    loop = bytearray(saved(in_mode("RGB")[0], "tif"))
    yield Case(
        row, b"tiff-loop.tif", bytes(loop[:4] + struct.pack("<I", 4) + loop[8:]), must=EITHER
    )
    jpeg = bytearray(saved(in_mode("RGB")[0], "jpg"))
    place = jpeg.index(b"\xff\xc0")
    jpeg[place + 5 : place + 9] = b"\xff\xdc\xff\xdc"
    yield Case(row, b"jpeg.jpg", bytes(jpeg), must=LISTED)
    if "webp" in formats():
        large = saved(in_mode("RGB")[0].resize((16383, 2)), "webp")
        expected = np.asarray(in_mode("RGB")[0].resize((16383, 2))).astype(float)
        yield Case(row, b"wide.webp", large, expected=expected)
    yield Case(row, b"thin.png", saved(in_mode("L")[0].resize((60000, 1)), "png"), must=EITHER)
    assert smooth().any()
