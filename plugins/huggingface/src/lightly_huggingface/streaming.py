"""Parts of a data set that are read as streams, and kept as shards."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from lightly_core.data.file_cache import BoundedCache
from lightly_core.data.packed import packed
from lightly_core.data.shards.index import ShardIndex, read_index, write_index
from lightly_core.data.shards.shard import FetchedShard
from lightly_huggingface.columns import Columns, encoded

if TYPE_CHECKING:
    from datasets import IterableDataset

#: Byte at which the index begins, at the end of a file.
_START = struct.Struct("<q")


class StreamedPart(FetchedShard):
    """One part of a data set. Its file has the images one after the other, then their index.

    Args:
        place: Its name for the user.
        cache: Where its file is kept.
        dataset: The part; its images are not decoded.
        version: Text that changes when the data set does.
        columns: The columns that are used.
    """

    def __init__(
        self,
        place: str,
        cache: BoundedCache,
        dataset: IterableDataset,
        version: str,
        columns: Columns,
    ) -> None:
        reading = f"image={columns.image} label={columns.label}"
        super().__init__(place, reading, cache)
        self._dataset = dataset
        self._of_dataset = version
        self._columns = columns

    def ask_version(self) -> str:
        """Return the version of the data set, and the columns that the file has."""
        return f"{self._of_dataset} {self.reading}"

    def fetch(self, path: Path) -> None:
        """Read all rows of the part."""
        offsets, sizes, labels = list[int](), list[int](), list[str]()
        with path.open("wb") as file:
            for row in self._dataset:
                data = encoded(row[self._columns.image]) or b""  # counts as an unreadable image
                offsets.append(file.tell())
                sizes.append(file.write(data))
                labels.append(self._label(row))
            start = file.tell()
            index = ShardIndex(
                np.asarray(offsets, np.int64),
                np.asarray(sizes, np.int64),
                packed(map(str, range(len(offsets)))),
                packed(labels),
            )
            write_index(index, file)
            file.write(_START.pack(start))

    def scan(self, file: IO[bytes]) -> ShardIndex:
        """Read the index at the end of the file."""
        end = file.seek(-_START.size, os.SEEK_END)
        (start,) = _START.unpack(file.read(_START.size))
        file.seek(start)
        return read_index(io.BytesIO(file.read(end - start)))

    def _label(self, row: Mapping[str, Any]) -> str:
        value = None if self._columns.label is None else row[self._columns.label]
        if value is None:
            return ""
        return self._columns.classes[value] if self._columns.classes else str(value)
