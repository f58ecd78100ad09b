"""Images in files."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from lightly_core.data.base import ImageSource, Labels
from lightly_core.data.decode import LeastScale, decode
from lightly_core.data.paths import Listing, decode_name
from lightly_core.data.pixels import ValueRange


class FolderSource(ImageSource):
    """Image files, sorted by name.

    All names are kept in one buffer. A list of millions of strings would take many times the
    memory, and every forked worker would copy it as soon as reference counts change.

    Args:
        listing: The files.
        num_channels: Channels to return, see `decode`.
        min_side: Shorter side in pixels below which `load` does not shrink JPEGs while they are
            decoded. None: it never shrinks them.
        value_range: See `decode`.
        class_folders: Whether the folders directly below the root are classes.
    """

    def __init__(
        self,
        listing: Listing,
        *,
        num_channels: int = 3,
        min_side: int | None = None,
        value_range: ValueRange = None,
        class_folders: bool = False,
    ) -> None:
        self.root = listing.root
        self.num_channels = num_channels
        self.min_side = min_side
        self.value_range = value_range
        self.class_folders = class_folders
        self._buffer = b"".join(listing.names)
        lengths = np.fromiter(map(len, listing.names), np.int64, len(listing.names))
        self._ends = np.cumsum(lengths)  # (N,) offset after each name

    def __len__(self) -> int:
        return len(self._ends)

    def name(self, index: int) -> str:
        """Return the path relative to the root, with ``/``."""
        return decode_name(self._name_bytes(index))

    def packed_names(self) -> tuple[bytes, bytes]:
        """Return the concatenated bytes of all names, and the offsets of their ends as bytes."""
        return self._buffer, self._ends.astype("<i8").tobytes()

    def path(self, index: int) -> str:
        """Return the absolute path."""
        return os.path.join(self.root, self.name(index))

    def load(self, index: int) -> Image.Image | npt.NDArray[Any]:
        """Decode one file; see `decode`."""
        side = self.min_side
        return self._decode(index, None if side is None else lambda size: side / min(size))

    def load_shrunk(self, index: int, least_scale: LeastScale) -> Image.Image | npt.NDArray[Any]:
        """Decode one file; a JPEG is shrunk as far as `least_scale` allows."""
        return self._decode(index, least_scale)

    def _decode(self, index: int, least_scale: LeastScale | None) -> Image.Image | npt.NDArray[Any]:
        return decode(
            self.path(index),
            self.num_channels,
            least_scale=least_scale,
            value_range=self.value_range,
        )

    def labels(self) -> Labels | None:
        """Return the class folders as classes, if all images lie in two or more of them."""
        if not self.class_folders:
            return None
        first = [self._name_bytes(index).partition(b"/") for index in range(len(self))]
        if not all(slash for _, slash, _ in first):
            return None  # an image lies in the root itself
        names = sorted({folder for folder, _, _ in first})
        if len(names) < 2:
            return None
        numbers = {name: number for number, name in enumerate(names)}
        targets = np.fromiter((numbers[folder] for folder, _, _ in first), np.int64, len(self))
        classes = tuple(decode_name(name) for name in names)
        return Labels(targets, classes, f"{len(classes)} class folders of {self.root}")

    def _name_bytes(self, index: int) -> bytes:
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        start = int(self._ends[index - 1]) if index else 0
        return self._buffer[start : int(self._ends[index])]
