"""Spherical k-means: clusters of directions.

N rows of width D, K centroids; rows and centroids have length 1. Nothing here talks to other
processes: where all of them hold equal rows, all of them find equal centroids.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.precision import no_autocast, single

# Products of so many rows with all centroids are in memory at once.
_CHUNK_SIZE = 4096


@torch.no_grad()
def spherical_kmeans(
    rows: Tensor, centroids: Tensor, *, num_iterations: int = 10, chunk_size: int = _CHUNK_SIZE
) -> Tensor:
    """Move centroids into the middle of the rows that are nearest to them, again and again.

    One iteration, in plain form::

        for k in range(K):
            own = [row for row in rows if argmax(centroids @ row) == k]
            if own:
                centroids[k] = normalize(sum(own))

    A centroid without rows stays where it is. Sums are matrix products, which unlike scattered
    additions give the same numbers in every run. Dhillon & Modha 2001
    (https://doi.org/10.1023/A:1007612920971); DeepCluster-v2 (https://arxiv.org/abs/2006.09882).

    Args:
        rows: (N, D).
        centroids: Where they start, (K, D): those of an earlier time, or `draw_rows`.
        num_iterations: >= 0.
        chunk_size: Rows that are compared at once, >= 1; it changes the memory that is needed and
            the result by rounding only.

    Returns:
        (K, D), of the type of `rows`, at least float32.
    """
    with no_autocast(rows.device):
        centroids = single(centroids).to(torch.promote_types(rows.dtype, torch.float32))
        for _ in range(num_iterations):
            sums = torch.zeros_like(centroids)  # (K, D)
            for chunk, nearest in _nearest(rows, centroids, chunk_size):
                sums += F.one_hot(nearest, len(centroids)).to(chunk.dtype).T @ chunk
            lengths = sums.norm(dim=1, keepdim=True)  # (K, 1)
            centroids = torch.where(lengths > 0, F.normalize(sums, dim=1), centroids)
    return centroids


@torch.no_grad()
def nearest_centroids(rows: Tensor, centroids: Tensor, *, chunk_size: int = _CHUNK_SIZE) -> Tensor:
    """Return the number of the centroid with the largest product of each row, (N,) int64.

    Args:
        rows: (N, D).
        centroids: (K, D).
        chunk_size: See `spherical_kmeans`.
    """
    with no_autocast(rows.device):
        found = [nearest for _, nearest in _nearest(rows, centroids, chunk_size)]
    return torch.cat(found)


def draw_rows(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw rows for centroids to start from.

    Args:
        rows: (N, D), N >= 1.
        count: K. Of fewer rows than that, some are drawn more than once; k-means leaves such
            copies without rows of their own.
        generator: On the CPU.

    Returns:
        (K, D), a copy.
    """
    order = torch.randperm(len(rows), generator=generator)
    return rows[order.repeat(-(-count // len(rows)))[:count].to(rows.device)]


def _nearest(rows: Tensor, centroids: Tensor, chunk_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield chunks of rows (n, D), at least float32, and their nearest centroids (n,) int64."""
    for chunk in torch.split(rows, chunk_size):
        chunk = single(chunk)
        yield chunk, (chunk @ centroids.to(chunk.dtype).T).argmax(dim=1)
