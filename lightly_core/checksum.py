"""Adds a checksum to files of `torch.save`, to detect damage.

CRC-32 detects every single flipped bit and all damage within 32 bits. It misses other damage with a
probability of 2**-32. It protects against faults of disks and memory, not against forgery.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import IO

# These files are zip archives, which may end in a comment. Ours is a checksum of the bytes before.
_MARK = b"lightly crc32 "
_DIGITS = 8
_COMMENT_SIZE = len(_MARK) + _DIGITS
_END, _END_SIZE = b"PK\x05\x06", 22
_BLOCK = 2**20


def seal(path: Path) -> None:
    """Add the checksum to an archive of `torch.save`. torch reads the file as before."""
    with path.open("r+b") as file:
        file.seek(-_END_SIZE, 2)
        end = file.read(_END_SIZE)
        if not _ends_without_comment(end):
            raise ValueError(f"{path} is not a zip archive, or has a comment already")
        file.seek(-2, 2)
        file.write(_COMMENT_SIZE.to_bytes(2, "little") + _MARK)
        file.seek(0)
        digest = _digest(file, None)
        file.seek(0, 2)
        file.write(digest.encode())


def is_sealed(path: Path) -> bool:
    """Return whether a file ends with a checksum of `seal`."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(-min(size, _COMMENT_SIZE), 2)
        return file.read().startswith(_MARK)


def damage_of(path: Path) -> str | None:
    """Return how a checkpoint's bytes are damaged, or None if they are not.

    Files without our checksum are checked by those that torch writes for each tensor.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if size == 0:
            return "it is empty"
        tail_size = min(size, _END_SIZE + _COMMENT_SIZE)
        file.seek(-tail_size, 2)
        tail = file.read()
        if tail[_END_SIZE:].startswith(_MARK) and tail.startswith(_END):
            file.seek(0)
            if _digest(file, size - _DIGITS) == tail[-_DIGITS:].decode(errors="replace"):
                return None
            return "its checksum differs, it was damaged after it was written"
        if not _ends_without_comment(tail[-_END_SIZE:]):
            return "it is cut off, or not a checkpoint"
        file.seek(0)
        try:
            with zipfile.ZipFile(file) as archive:
                bad = archive.testzip()
        except Exception as error:  # zipfile raises many kinds
            return f"it is not a complete archive ({error})"
        return None if bad is None else f"the checksum of '{bad}' in it differs"


def _ends_without_comment(end: bytes) -> bool:
    return len(end) == _END_SIZE and end.startswith(_END) and end.endswith(b"\0\0")


def _digest(file: IO[bytes], size: int | None) -> str:
    """Return the CRC-32 of the next `size` bytes; None: of all following bytes."""
    value = 0
    left = float("inf") if size is None else size
    while left > 0 and (block := file.read(int(min(left, _BLOCK)))):
        value = zlib.crc32(block, value)
        left -= len(block)
    return f"{value:0{_DIGITS}x}"
