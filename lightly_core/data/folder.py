"""Images in files."""

from __future__ import annotations

import os
from bisect import bisect_left
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from lightly_core.data.base import ImageRequest, Labels
from lightly_core.data.decode import LeastScale, decode
from lightly_core.data.encoded import DecodedSource
from lightly_core.data.packed import PackedNames, decoded
from lightly_core.data.paths import Listing

_AS_IT_IS = ImageRequest()


class FolderSource(DecodedSource):
    """Image files, sorted by name.

    All names are kept in one buffer. A list of millions of strings would take many times the
    memory, and every forked worker would copy it as soon as reference counts change.

    Args:
        listing: The files, sorted.
        request: How images are decoded.
        class_folders: Whether the folders directly below the root are classes.

    Attributes:
        on_this_machine: Whether `path` returns paths of this machine's file system.
    """

    on_this_machine = True

    def __init__(
        self,
        listing: Listing,
        request: ImageRequest = _AS_IT_IS,
        *,
        class_folders: bool = False,
    ) -> None:
        super().__init__(request)
        self.root = listing.root
        self.class_folders = class_folders
        self._names = PackedNames(listing.names)

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """Return the path relative to the root, with ``/``."""
        return self._names[index]

    def packed_names(self) -> tuple[bytes, bytes]:
        """Return the concatenated bytes of all names, and the offsets of their ends as bytes."""
        ends = np.cumsum(self._names.lengths(), dtype="<i8")
        return self._names.buffer.replace(b"\0", b""), ends.tobytes()

    def path(self, index: int) -> str:
        """Return the absolute path."""
        return os.path.join(self.root, self.name(index))

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
        folders, starts = list[bytes](), [0]
        while starts[-1] < len(self):
            folder, slash, _ = self._names.encoded(starts[-1]).partition(b"/")
            if not slash:
                return None  # an image lies in the root itself
            folders.append(folder)
            starts.append(self._first_outside(folder, starts[-1]))
        if len(folders) < 2:
            return None
        # Names are sorted with the "/", so "a-b/1" comes before "a/1".
        names = sorted(folders)
        numbers = {name: number for number, name in enumerate(names)}
        ranks = np.asarray([numbers[folder] for folder in folders], np.int64)
        targets = np.repeat(ranks, np.diff(starts))
        classes = tuple(decoded(name) for name in names)
        return Labels(targets, classes, f"{len(classes)} class folders of {self.root}")

    def _first_outside(self, folder: bytes, inside: int) -> int:
        """Return the first position after `inside`, an image of a folder, that is not in it.

        The images of a folder follow each other. The search takes a time that grows with the
        logarithm of their number.
        """
        after = folder + b"0"  # "0" follows "/"
        step = 1
        while inside + step < len(self) and self._names.encoded(inside + step) < after:
            step *= 2
        most = min(inside + step, len(self))
        return bisect_left(
            range(len(self)), after, inside + step // 2, most, key=self._names.encoded
        )
