"""Memory of earlier results that is used again.

A page of new memory is filled with zeros by the system when it is first written to. For the views
of a batch this takes as long as a third of their photometric changes.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


class Buffers:
    """Arrays for results, whose memory is used again once nothing holds the earlier result.

    Args:
        most: Number of arrays that are kept while nothing uses them.
    """

    def __init__(self, most: int = 16) -> None:
        self._most = most
        self._free: list[npt.NDArray[np.float32]] = []

    def take(self, shape: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return an array with arbitrary values; tensors may share its memory."""
        size = int(np.prod(shape, dtype=np.int64))
        memory = next((free for free in self._free if free.size == size), None)
        if memory is None:
            memory = np.empty(size, np.float32)
        else:
            self._free = [free for free in self._free if free is not memory]
        array = memory.reshape(shape)
        # Tensors of `torch.from_numpy` keep this array alive, but not the one that it is a view of.
        returned = weakref.finalize(array, _give_back, weakref.ref(self), memory)
        returned.atexit = False
        return array

    def __reduce__(self) -> tuple[type[Buffers], tuple[int]]:
        """Leave the memory out of copies for other processes."""
        return Buffers, (self._most,)


def _give_back(buffers: weakref.ref[Buffers], memory: npt.NDArray[np.float32]) -> None:
    owner = buffers()
    if owner is not None:
        owner._free = [*owner._free, memory][-owner._most :]
