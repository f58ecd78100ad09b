"""Many names in one buffer. Imports nothing heavy before names are used."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def packed(names: Iterable[str]) -> bytes:
    """Return names in one buffer, each before a NUL: UTF-8, undecodable parts included.

    The bytes of two names compare like their code points.
    """
    return "".join(f"{name}\0" for name in names).encode("utf-8", "surrogatepass")


def unpacked(names: bytes) -> list[str]:
    """Undo `packed`."""
    return decoded(names).split("\0")[:-1]


def decoded(name: bytes) -> str:
    """Return the text of a name's bytes."""
    return name.decode("utf-8", "surrogatepass")


class PackedNames:
    """A list of names in one buffer.

    A list of millions of strings would take many times the memory, and every forked worker would
    copy it as soon as reference counts change.

    Args:
        buffer: What `packed` returned, or several of such joined.
    """

    def __init__(self, buffer: bytes) -> None:
        import numpy as np

        self.buffer = buffer
        # (N,) offset of the NUL after each name
        self._ends = np.flatnonzero(np.frombuffer(buffer, np.uint8) == 0)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> str:
        return decoded(self.encoded(index))

    def encoded(self, index: int) -> bytes:
        """Return the bytes of a name.

        Raises:
            IndexError: There is no such name.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"name {index} of {len(self)}")
        start = int(self._ends[index - 1]) + 1 if index else 0
        return self.buffer[start : int(self._ends[index])]

    def lengths(self) -> npt.NDArray[np.int64]:
        """Return the number of bytes of each name, (N,)."""
        import numpy as np

        return np.diff(self._ends, prepend=-1) - 1


def common_folder(paths: Sequence[str]) -> str:
    """Return the folder that paths with ``/`` have in common, with its last slash, or ""."""
    same = os.path.commonprefix(list(paths))  # noqa: RUF071 - of URLs too, cut at a slash below
    return same[: same.rfind("/") + 1]
