"""Cosines and nearest neighbours, in parts of limited size.

Shapes: c queries, N rows of the bank, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

#: Most numbers of one tensor of a search, 256 MiB of float32.
MAX_NUMBERS = 2**26


class Search(Protocol):
    """Finds the nearest rows of a bank."""

    def __call__(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return the k nearest rows of each query, the nearest first.

        Args:
            queries: (c, D) float32, normalised.
            k: Number of rows, at most N.

        Returns:
            Cosines (c, k), descending, and positions in the bank (c, k) int64. Where a search
            finds fewer than k rows, the cosine is minus infinity and the position is -1.
        """
        ...


class ExactSearch:
    """Compares each query with all rows of a bank.

    A part of the bank is normalised and compared at a time. No tensor has more than twice
    `MAX_NUMBERS` numbers if c * k is at most that, unless one row alone has more. A bank of up to
    ``MAX_NUMBERS / max(c, D)`` rows is one part. For a larger one, cosines may differ in the last
    bit from those of one product, and of equally near rows others may be found.

    Args:
        bank: (N, D), of any norm and float type.
    """

    def __init__(self, bank: Tensor) -> None:
        self._bank = bank

    def __call__(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """See `Search`."""
        best: tuple[Tensor, Tensor] | None = None
        for start, part in _cosines(queries, self._bank):
            cosine, rows = part.topk(min(k, part.shape[1]), dim=1)
            if best is None:
                best = cosine, rows
                continue
            cosine = torch.cat([best[0], cosine], dim=1)
            rows = torch.cat([best[1], rows.add_(start)], dim=1)
            cosine, columns = cosine.topk(min(k, cosine.shape[1]), dim=1)
            best = cosine, rows.gather(1, columns)
        assert best is not None
        return best


def cosines(queries: Tensor, bank: Tensor) -> Tensor:
    """Return the cosine of each query and each row, (c, N); normalises the bank in parts.

    Args:
        queries: (c, D) float32, normalised.
        bank: (N, D), of any norm and float type.
    """
    if len(bank) <= _rows_at_once(queries):
        return queries @ F.normalize(bank.float(), dim=1).T
    found = queries.new_empty(len(queries), len(bank))
    for start, part in _cosines(queries, bank):
        found[:, start : start + part.shape[1]] = part
    return found


def at_once(numbers: int, most: int) -> int:
    """Return how many queries are processed at once, in [1, most].

    Args:
        numbers: Numbers of one query.
        most: Most queries.
    """
    return max(1, min(most, MAX_NUMBERS // max(numbers, 1)))


def _rows_at_once(queries: Tensor) -> int:
    return max(1, MAX_NUMBERS // max(queries.shape))


def _cosines(queries: Tensor, bank: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield parts of the cosines, (c, n), with the position of their first row."""
    rows = _rows_at_once(queries)
    for start in range(0, len(bank), rows):
        part = F.normalize(bank[start : start + rows].float(), dim=1)
        yield start, queries @ part.T
