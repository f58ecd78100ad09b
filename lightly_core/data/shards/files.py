"""The files of shards in one process: those that are open, and the one that is needed next."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from lightly_core.data.shards.shard import Shard

_MOST_OPEN = 32


class OpenFiles:
    """The shards that this process has opened last. Other processes have their own."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._files: OrderedDict[int, IO[bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]

    def read(self, number: int, shard: Shard, offset: int, size: int) -> bytes:
        """Read bytes of a shard."""
        if self._process != os.getpid():  # a fork shares the position of open files
            self.__init__()  # type: ignore[misc]
        with self._lock:
            file = self._files.pop(number, None) or shard.open()
            self._files[number] = file
            while len(self._files) > _MOST_OPEN:
                self._files.popitem(last=False)[1].close()
            file.seek(offset)
            return file.read(size)


class ReadAhead:
    """Fetches the next shard in a thread, before it is needed.

    Args:
        shards: All shards.
        order: Their numbers in the order in which they are needed, (S,).
    """

    def __init__(self, shards: Sequence[Shard], order: npt.NDArray[np.int64]) -> None:
        self._shards = shards
        self._order = order
        self._places = np.argsort(order)
        self._furthest = -1
        self._thread: threading.Thread | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_thread": None}

    def reached(self, number: int) -> None:
        """Fetch the shard after this one, unless a later one has been reached before."""
        place = int(self._places[number])
        if place <= self._furthest or place + 1 == len(self._order):
            return
        if self._thread is not None and self._thread.is_alive():
            return
        self._furthest = place
        shard = self._shards[self._order[place + 1]]
        self._thread = threading.Thread(target=_prepare, args=(shard,), daemon=True)
        self._thread.start()


def _prepare(shard: Shard) -> None:
    with suppress(Exception):  # reported when the shard is needed
        shard.prepare()
