"""Writers of PNG and TIFF for all layouts of the formats, which no library writes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7 = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)


def png(
    values: npt.NDArray[Any],
    kind: int,
    bits: int,
    *,
    filter_kind: int = 0,
    interlaced: bool = False,
    chunks: Sequence[tuple[bytes, bytes]] = (),
) -> bytes:
    """Return a PNG file.

    Args:
        values: (H, W, S) integers below 2 ** bits.
        kind: Colour type: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha.
        bits: Bits of a value.
        filter_kind: Filter of every row, 0 to 4.
        interlaced: Whether the pixels are in seven passes.
        chunks: Further chunks before the pixels: name and content.
    """
    height, width, samples = values.shape
    assert samples == _CHANNELS[kind]
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    data = b"".join(
        _filtered(values[top::down, left::right], bits, filter_kind)
        for top, left, down, right in passes
    )
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, int(interlaced))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def chunk(name: bytes, content: bytes) -> bytes:
    """Return one chunk of a PNG."""
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def _filtered(values: npt.NDArray[Any], bits: int, filter_kind: int) -> bytes:
    """Pack and filter the rows of one pass."""
    if 0 in values.shape:
        return b""
    rows = packed(values.reshape(len(values), -1), bits, ">")
    step = max(1, bits * values.shape[2] // 8)
    before = bytes(len(rows[0]))
    result = bytearray()
    for row in rows:
        result.append(filter_kind)
        for index, value in enumerate(row):
            left = row[index - step] if index >= step else 0
            corner = before[index - step] if index >= step else 0
            predicted = _predicted(filter_kind, left, before[index], corner)
            result.append((value - predicted) & 255)
        before = row
    return bytes(result)


def _predicted(filter_kind: int, left: int, above: int, corner: int) -> int:
    """Return the prediction of a byte by the filters 0 to 4 of the PNG standard."""
    if filter_kind == 4:
        initial = left + above - corner
        return min((left, above, corner), key=lambda near: abs(initial - near))
    return (0, left, above, (left + above) // 2)[filter_kind]


def packed(rows: npt.NDArray[Any], bits: int, order: str) -> list[bytes]:
    """Pack each row (of integers, or of floats of 16, 32 or 64 bit) to whole bytes."""
    if rows.dtype.kind == "f" or bits in (8, 16, 32, 64):
        kind = np.dtype(f"{rows.dtype.kind}{bits // 8}").newbyteorder(order)
        return [row.astype(kind).tobytes() for row in rows]
    if bits == 24:  # in the byte order of the file, as libtiff does
        wide = [row.astype(np.dtype("u4").newbyteorder(order)).view(np.uint8) for row in rows]
        kept = slice(1, 4) if order == ">" else slice(0, 3)
        return [row.reshape(-1, 4)[:, kept].tobytes() for row in wide]
    found = []
    for row in rows:
        digits = "".join(f"{int(value):0{bits}b}" for value in row)
        digits += "0" * (-len(digits) % 8)
        found.append(int(digits, 2).to_bytes(len(digits) // 8, "big"))
    return found


def tiff(
    values: npt.NDArray[Any],
    bits: int,
    *,
    order: str = "<",
    photometric: int = 1,
    planar: bool = False,
    extras: Sequence[int] = (),
    tags: Sequence[tuple[int, str, Sequence[int]]] = (),
    big: bool = False,
    rows_per_strip: int = 7,
    deflated: bool = False,
) -> bytes:
    """Return a TIFF file of one page.

    Args:
        values: (H, W, S). The type determines unsigned, signed or float.
        bits: Bits of a value.
        order: ``<`` or ``>``.
        photometric: 0 white is zero, 1 black is zero, 2 RGB, 3 palette.
        planar: Whether the bands are stored one after the other.
        extras: Meaning of the bands beyond the colours: 0 unknown, 1 premultiplied alpha, 2 alpha.
        tags: Further tags: number, letter of `struct`, values.
        big: Whether to write BigTIFF.
        rows_per_strip: Rows of one strip.
        deflated: Whether strips are compressed.
    """
    height, width, samples = values.shape
    layers = [values[:, :, band] for band in range(samples)] if planar else [values]
    strips = []
    for layer in layers:
        rows = packed(layer.reshape(height, -1), bits, order)
        for top in range(0, height, rows_per_strip):
            strip = b"".join(rows[top : top + rows_per_strip])
            strips.append(zlib.compress(strip) if deflated else strip)
    start = 16 if big else 8
    places = [start + sum(map(len, strips[:number])) for number in range(len(strips))]
    letter = "Q" if big else "I"
    sample_format = {"u": 1, "i": 2, "f": 3, "b": 1}[values.dtype.kind]
    given = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [bits] * samples),
        259: ("H", [8 if deflated else 1]),
        262: ("H", [photometric]),
        273: (letter, places),
        277: ("H", [samples]),
        278: ("I", [rows_per_strip]),
        279: (letter, list(map(len, strips))),
        284: ("H", [2 if planar else 1]),
        339: ("H", [sample_format] * samples),
        **({338: ("H", list(extras))} if extras else {}),
        **{tag: (form, list(numbers)) for tag, form, numbers in tags},
    }
    body = b"".join(strips)
    return (
        _header(order, big, start + len(body))
        + body
        + _directory(given, order, big, start + len(body))
    )


def _header(order: str, big: bool, directory: int) -> bytes:
    mark = b"II" if order == "<" else b"MM"
    if big:
        return mark + struct.pack(order + "HHHQ", 43, 8, 0, directory)
    return mark + struct.pack(order + "HI", 42, directory)


def _directory(tags: dict[int, tuple[str, list[int]]], order: str, big: bool, place: int) -> bytes:
    """Return the directory for offset `place`, followed by the values that do not fit into it."""
    kinds = {"B": 1, "H": 3, "I": 4, "Q": 16}
    number, entry, room = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
    pointer = "Q" if big else "I"
    size = struct.calcsize("=" + number) + len(tags) * (struct.calcsize("=" + entry) + room) + room
    head, values_after = struct.pack(order + number, len(tags)), b""
    for tag, (letter, values) in sorted(tags.items()):
        content = struct.pack(f"{order}{len(values)}{letter}", *values)
        head += struct.pack(order + entry, tag, kinds[letter], len(values))
        if len(content) <= room:
            head += content.ljust(room, b"\0")
        else:
            head += struct.pack(order + pointer, place + size + len(values_after))
            values_after += content
    return head + bytes(room) + values_after
