"""The images of shards, by position."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lightly_core.contracts.source import ImageRequest, Labels
from lightly_core.data.encoded import EncodedSource
from lightly_core.data.packed import PackedNames, common_folder
from lightly_core.data.pixels import UnreadableImage
from lightly_core.data.sampler import shard_order, windowed_order
from lightly_core.data.shards.files import OpenFiles, ReadAhead
from lightly_core.data.shards.index import ShardIndex
from lightly_core.data.shards.shard import FetchedShard, Shard


class ShardSource(EncodedSource):
    """The images of shards, shard by shard.

    Args:
        shards: The shards.
        indexes: The index of each.
        request: How images are decoded.
        buffer: Images that are shuffled together.
        labels: Where the classes are from, for the user, such as ``'cls' of the samples``.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        indexes: Sequence[ShardIndex],
        request: ImageRequest,
        *,
        buffer: int,
        labels: str,
    ) -> None:
        super().__init__(request)
        self._shards = list(shards)
        self._buffer = buffer
        self._origin = labels
        self._counts = np.asarray([len(index) for index in indexes], np.int64)  # (S,)
        self._ends = np.cumsum(self._counts)
        self._offsets = np.concatenate([index.offsets for index in indexes])  # (N,)
        self._sizes = np.concatenate([index.sizes for index in indexes])
        self._names = PackedNames(b"".join(index.names for index in indexes))
        self._labels = b"".join(index.labels for index in indexes)
        self._shard_names = _relative([shard.place for shard in shards])
        self._files = OpenFiles()
        self._ahead: ReadAhead | None = None

    def __len__(self) -> int:
        return len(self._offsets)

    def name(self, index: int) -> str:
        """Return the name of the shard and that of the image in it: ``000.tar/n01440764/17.jpg``.

        The names of shards are relative to their common folder.
        """
        return f"{self._shard_names[self._shard_of(index)]}/{self._names[index]}"

    def read(self, index: int) -> bytes:
        """Read the image from its shard."""
        number, size = self._shard_of(index), int(self._sizes[index])
        try:
            data = self._files.read(number, self._shards[number], int(self._offsets[index]), size)
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
            raise UnreadableImage(f"the shard cannot be read: {reason}") from error
        if (
            self._ahead is not None
        ):  # now that the shard is open, and cannot be lost to the next one
            self._ahead.reached(number)
        if len(data) < size:
            raise UnreadableImage("truncated")
        return data

    def labels(self) -> Labels | None:
        """Return the classes that the shards hold; numbers are sorted as numbers."""
        texts = PackedNames(self._labels)
        given = np.asarray([texts[index] for index in range(len(texts))])
        names, numbers = np.unique(given, return_inverse=True)
        if len(names) and not names[0]:  # without a class
            names, numbers = names[1:], numbers - 1
        if len(names) < 2:
            return None
        if all(name.isascii() and name.isdigit() for name in names):
            order = sorted(range(len(names)), key=lambda number: int(names[number]))
            ranks = np.empty(len(names) + 1, np.int64)
            ranks[order], ranks[-1] = np.arange(len(names)), -1
            names, numbers = names[order], ranks[numbers]
        classes = tuple(map(str, names))
        return Labels(numbers.astype(np.int64).reshape(-1), classes, self._origin)

    def why_no_labels(self) -> str:
        """Return the reason why `labels` returns None."""
        return f"there are no two classes in {self._origin} (option label)"

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Fetch the next shard while images of the one before are read."""
        in_windows = self._buffer < len(self)
        if in_windows and any(isinstance(shard, FetchedShard) for shard in self._shards):
            self._ahead = ReadAhead(self._shards, shard_order(len(self._shards), seed, epoch))

    def order(self, seed: int, epoch: int) -> npt.NDArray[np.int64] | None:
        """Return shards in random order, their images shuffled in windows of `buffer`.

        None if one window holds all images: any order reads as few shards.
        """
        if self._buffer >= len(self):
            return None
        return windowed_order(self._counts, self._buffer, seed, epoch)

    def _shard_of(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        return int(np.searchsorted(self._ends, index, side="right"))


def _relative(places: Sequence[str]) -> list[str]:
    """Return the names of shards without the folder that they have in common."""
    paths = [place.replace(os.sep, "/") for place in places]
    cut = len(common_folder(paths))
    return [path[cut:] for path in paths]
