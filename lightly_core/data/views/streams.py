"""Many random generators read side by side: the numbers of `sample_rng`, for a whole batch at once.

A call of NumPy's Generator costs about a microsecond and a sample needs some forty of them. Here a
row of raw words is fetched from the bit generator of each sample, and one array operation then does
for all samples what Generator does for one. NumPy promises the raw words for all time, but not what
Generator makes of them; who uses this compares a few samples with Generator first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from lightly_core.data.sampler import SAMPLE_STREAM

Rows: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

_HALF = np.uint64(32)
_LOW_HALF = np.uint64(0xFFFFFFFF)
#: Draws of one element of a shuffle; a row that needs more, one in 10^7, is doubtful.
MOST_TRIES = 12

_TO_DOUBLE = 1.0 / (1 << 53)  # 53 bits of a word make a number in [0, 1)


def sample_words(
    seed: int, keys: Sequence[tuple[int, int]], num_words: int
) -> npt.NDArray[np.uint64]:
    """Return the first raw words of `sample_rng(seed, epoch, index)` for each key.

    Args:
        seed: Seed of the run.
        keys: ``(epoch, index)`` of B samples.
        num_words: W.

    Returns:
        Words (B, W).
    """
    # Setting the state of one generator takes a fifth of the time of making one.
    bits = np.random.Philox(key=[seed, SAMPLE_STREAM], counter=[0, 0, 0, 0])
    state = bits.state
    counter = state["state"]["counter"]
    words = np.empty((len(keys), num_words), np.uint64)
    for row, (epoch, index) in enumerate(keys):
        counter[1], counter[2] = index, epoch
        bits.state = state
        words[row] = bits.random_raw(num_words)
    return words


class Streams:
    """Draws from B streams; every method touches the chosen rows only.

    Args:
        words: Raw words (B, W); W must be enough for all that is drawn.

    Attributes:
        doubtful: (B,) bool, the rows in which Generator may have gone on to draws that are not
            followed here. One in millions; such rows are to be drawn by Generator itself.
    """

    def __init__(self, words: npt.NDArray[np.uint64]) -> None:
        size, width = words.shape
        self._words = np.ascontiguousarray(words).reshape(-1)
        self._next = np.arange(size, dtype=np.int64) * width
        # Generator makes two 32-bit draws of a word and keeps the second for later.
        self._kept = np.zeros(size, np.uint64)
        self._has_kept = np.zeros(size, bool)
        self.doubtful = np.zeros(size, bool)

    def __len__(self) -> int:
        return len(self.doubtful)

    def random(self, rows: Rows) -> Floats:
        """Draw from [0, 1), as `Generator.random()`; (n,) for n rows."""
        numbers: Floats = (self._take(rows) >> np.uint64(11)) * _TO_DOUBLE
        return numbers

    def uniform(self, low: float, high: float, rows: Rows) -> Floats:
        """Draw from [low, high), as `parameters.uniform`."""
        return low + (high - low) * self.random(rows)

    def happens(self, probability: float, rows: Rows) -> npt.NDArray[np.bool_]:
        """Draw whether something happens, as `parameters.happens`."""
        return self.random(rows) < probability

    def integers(self, high: Integers, rows: Rows) -> Integers:
        """Draw from [0, high), as `Generator.integers(high)` with high in [1, 2^31].

        Args:
            high: (n,), one bound a row.
            rows: (n,).
        """
        result = np.zeros(len(rows), np.int64)
        drawn = high > 1  # a single choice costs Generator no draw
        chosen, bound = rows[drawn], high[drawn].astype(np.uint64)
        # Lemire 2019, https://arxiv.org/abs/1805.10941: a draw is rejected where the product's
        # low half is below a threshold that is itself below the bound.
        product = self._take_half(chosen) * bound
        self.doubtful[chosen] |= (product & _LOW_HALF) < bound
        result[drawn] = product >> _HALF
        return result

    def permutations(self, length: int, rows: Rows) -> Integers:
        """Shuffle ``range(length)`` for each row, as `Generator.permutation(length)`.

        Takes up to `MOST_TRIES` words for every element.

        Returns:
            (n, length).
        """
        order = np.tile(np.arange(length), (len(rows), 1))
        every = np.arange(len(rows))
        for last in range(length - 1, 0, -1):
            other = self._up_to(last, rows)
            moved = order[every, other]
            order[every, other] = order[:, last]
            order[:, last] = moved
        return order

    def _up_to(self, last: int, rows: Rows) -> Integers:
        """Draw from [0, last] as Generator does when it shuffles: bits, until they fit."""
        mask = np.uint64((1 << last.bit_length()) - 1)
        result = np.zeros(len(rows), np.int64)
        left = np.arange(len(rows))
        for _ in range(MOST_TRIES):
            drawn = (self._take_half(rows[left]) & mask).astype(np.int64)
            fits = drawn <= last
            result[left[fits]] = drawn[fits]
            left = left[~fits]
            if not len(left):
                break
        self.doubtful[rows[left]] = True
        return result

    def _take(self, rows: Rows) -> npt.NDArray[np.uint64]:
        place = self._next[rows]
        self._next[rows] = place + 1
        words: npt.NDArray[np.uint64] = self._words[place]
        return words

    def _take_half(self, rows: Rows) -> npt.NDArray[np.uint64]:
        """Take 32 bits of each row: the half that was kept, or the low half of a new word."""
        kept = self._has_kept[rows]
        fresh = rows[~kept]
        word = self._take(fresh)
        halves = np.empty(len(rows), np.uint64)
        halves[kept] = self._kept[rows[kept]]
        halves[~kept] = word & _LOW_HALF
        self._kept[fresh] = word >> _HALF
        self._has_kept[rows] = ~kept
        return halves
