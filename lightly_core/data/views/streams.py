"""Vectorised random generators: the numbers of `sample_rng` for a whole batch at once.

A call of NumPy's Generator costs about a microsecond, and a sample needs some forty of them. Here
a row of raw words is read from the bit generator of each sample, and array operations compute for
all samples what Generator computes for one. NumPy guarantees that the raw words never change, but
not how Generator uses them. Callers must therefore compare a few samples with Generator first.
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
#: Tries per element of a shuffle; a row that needs more, one in 10^7, is marked as doubtful.
MAX_TRIES = 12

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
    # Setting the state of one generator takes a fifth of the time of creating one.
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
    """Samples from B streams; every method advances only the given rows.

    Args:
        words: Raw words (B, W); W must be large enough for all numbers that are sampled.

    Attributes:
        doubtful: (B,) bool, rows in which Generator may have used further words, which is not
            reproduced here. One row in millions. The caller must sample them with Generator.
    """

    def __init__(self, words: npt.NDArray[np.uint64]) -> None:
        size, width = words.shape
        self._words = np.ascontiguousarray(words).reshape(-1)
        self._next = np.arange(size, dtype=np.int64) * width
        # Generator splits a word into two 32-bit halves and keeps the second for the next call.
        self._kept = np.zeros(size, np.uint64)
        self._has_kept = np.zeros(size, bool)
        self.doubtful = np.zeros(size, bool)

    def __len__(self) -> int:
        return len(self.doubtful)

    def random(self, rows: Rows) -> Floats:
        """Sample from [0, 1), as `Generator.random()`; returns (n,) for n rows."""
        numbers: Floats = (self._take(rows) >> np.uint64(11)) * _TO_DOUBLE
        return numbers

    def uniform(self, low: float, high: float, rows: Rows) -> Floats:
        """Sample from [low, high), as `parameters.uniform`."""
        return low + (high - low) * self.random(rows)

    def bernoulli(self, probability: float, rows: Rows) -> npt.NDArray[np.bool_]:
        """Return True with the given probability, as `parameters.bernoulli`."""
        return self.random(rows) < probability

    def integers(self, high: Integers, rows: Rows) -> Integers:
        """Sample from [0, high), as `Generator.integers(high)` with high in [1, 2^31].

        Args:
            high: (n,), one bound per row.
            rows: (n,).
        """
        result = np.zeros(len(rows), np.int64)
        random = high > 1  # Generator uses no word if there is only one choice
        chosen, bound = rows[random], high[random].astype(np.uint64)
        # Lemire 2019, https://arxiv.org/abs/1805.10941: a sample is rejected if the product's
        # low half is below a threshold that is itself below the bound.
        product = self._take_half(chosen) * bound
        self.doubtful[chosen] |= (product & _LOW_HALF) < bound
        result[random] = product >> _HALF
        return result

    def permutations(self, length: int, rows: Rows) -> Integers:
        """Shuffle ``range(length)`` for each row, as `Generator.permutation(length)`.

        Uses up to `MAX_TRIES` words per element.

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
        """Sample from [0, last] as Generator does when it shuffles, by rejection of random bits."""
        mask = np.uint64((1 << last.bit_length()) - 1)
        result = np.zeros(len(rows), np.int64)
        left = np.arange(len(rows))
        for _ in range(MAX_TRIES):
            sampled = (self._take_half(rows[left]) & mask).astype(np.int64)
            fits = sampled <= last
            result[left[fits]] = sampled[fits]
            left = left[~fits]
            if not len(left):
                break
        self.doubtful[rows[left]] = True
        return result

    def _take(self, rows: Rows) -> npt.NDArray[np.uint64]:
        position = self._next[rows]
        self._next[rows] = position + 1
        words: npt.NDArray[np.uint64] = self._words[position]
        return words

    def _take_half(self, rows: Rows) -> npt.NDArray[np.uint64]:
        """Return 32 bits of each row: the half that was kept, or the low half of a new word."""
        kept = self._has_kept[rows]
        fresh = rows[~kept]
        word = self._take(fresh)
        halves = np.empty(len(rows), np.uint64)
        halves[kept] = self._kept[rows[kept]]
        halves[~kept] = word & _LOW_HALF
        self._kept[fresh] = word >> _HALF
        self._has_kept[rows] = ~kept
        return halves
