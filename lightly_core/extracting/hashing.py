"""Finds frames that look like earlier ones, by a hash of their coarse brightness."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from lightly_core.config.options.extract import HASH_BITS

_SIDE = 8
_BIT_COUNTS = np.asarray([number.bit_count() for number in range(256)], np.uint8)


def difference_hash(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Return the difference hash (dHash) of an image, 64 bits as (8,) uint8.

    Each bit says whether a cell of the image, cut into 8 rows of 9, is darker than the next one.
    """
    small = image.convert("L").resize((_SIDE + 1, _SIDE), Image.Resampling.BOX)
    grey = np.asarray(small, np.int16)  # (8, 9)
    return np.packbits(grey[:, 1:] > grey[:, :-1])  # (8,)


class SeenFrames:
    """The hashes of the frames of one video that were written.

    Args:
        min_difference: Bits in which a frame must differ from each of them; 0: none.
    """

    def __init__(self, min_difference: int) -> None:
        self._least = min_difference
        self._hashes = np.empty((16, HASH_BITS // 8), np.uint8)
        self._count = 0

    def is_new(self, image: Image.Image) -> bool:
        """Return whether a frame differs from those before it, and keep its hash if it does."""
        if not self._least:
            return True
        own = difference_hash(image)
        seen = self._hashes[: self._count]  # (K, 8)
        distances = _BIT_COUNTS[seen ^ own].sum(axis=1)
        if self._count and int(distances.min()) < self._least:
            return False
        if self._count == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.empty_like(self._hashes)])
        self._hashes[self._count] = own
        self._count += 1
        return True
