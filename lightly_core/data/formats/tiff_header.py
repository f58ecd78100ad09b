"""Reads the header of the first page of a TIFF without a library."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import IO, Any

_WANTED = {258: "bits", 259: "compression", 277: "bands", 284: "planar", 339: "sample_format"}
#: Format character of `struct`, by the number of the type.
_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}
_MOST_ENTRIES = 4096
_SAMPLE_FORMATS = {1: "", 2: " (signed)", 3: " (float)", 5: " (complex)", 6: " (complex)"}


@dataclass(frozen=True)
class TiffFacts:
    """Header of the first page of a file.

    Attributes:
        bands: Values per pixel.
        bits: Bits of a value, the largest number if bands differ.
        sample_format: Number of the standard: 1 unsigned, 2 signed, 3 float.
        planar: Whether the bands are stored one after the other.
        swapped: Whether the values are compressed and big-endian, so that Pillow swaps their bytes.
    """

    bands: int
    bits: int
    sample_format: int
    planar: bool
    swapped: bool

    def __str__(self) -> str:
        """Return a description, as the beginning of a reason."""
        kind = _SAMPLE_FORMATS.get(self.sample_format, " (unknown type)")
        return f"TIFF with {self.bands} band{'s' * (self.bands > 1)} of {self.bits} bit{kind}"


def tiff_facts(file: IO[bytes]) -> TiffFacts | None:
    """Read the header of the first page; None if it is broken.

    Args:
        file: A TIFF or BigTIFF of either byte order, at its beginning. It is rewound afterwards.
    """
    try:
        found = _first_directory(file)
        return TiffFacts(
            bands=max(found.get("bands", (1,))),
            bits=max(found.get("bits", (1,))),
            sample_format=max(found.get("sample_format", (1,))),
            planar=found.get("planar") == (2,),
            swapped=found["swapped"] == (1,) and found.get("compression", (1,)) != (1,),
        )
    except (struct.error, ValueError, OverflowError, OSError):
        return None
    finally:
        file.seek(0)


def _first_directory(file: IO[bytes]) -> dict[str, tuple[int, ...]]:
    """Return the values of the tags in `_WANTED` that the first page has."""
    head = file.read(16)
    order = "<" if head.startswith(b"II") else ">"
    big = struct.unpack(order + "H", head[2:4]) == (43,)
    count, entry, start = ("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")
    file.seek(struct.unpack_from(order + start, head, 8 if big else 4)[0])
    number = _read(file, order + count)[0]
    if number > _MOST_ENTRIES:
        raise ValueError(f"{number} entries")
    entries = [_read(file, order + entry) for _ in range(number)]
    found: dict[str, tuple[int, ...]] = {"swapped": (int(order == ">"),)}
    for tag, kind, length, content in entries:
        letter = _TYPES.get(kind)
        if tag not in _WANTED or letter is None or not 0 < length <= _MOST_ENTRIES:
            continue
        form = f"{order}{length}{letter}"
        if struct.calcsize(form) <= len(content):
            found[_WANTED[tag]] = struct.unpack_from(form, content)
        else:
            file.seek(struct.unpack(order + start, content)[0])
            found[_WANTED[tag]] = _read(file, form)
    return found


def _read(file: IO[bytes], form: str) -> tuple[Any, ...]:
    return struct.unpack(form, file.read(struct.calcsize(form)))
