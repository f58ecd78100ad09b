"""Spherical k-means: clustering by cosine similarity.

N rows of dimension D, K centroids. Rows and centroids have length 1. There is no communication
between processes: processes with equal rows find equal centroids.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.precision import no_autocast, single

# Number of rows whose products with all centroids are in memory at once.
_CHUNK_SIZE = 4096


@torch.no_grad()
def spherical_kmeans(
    rows: Tensor, centroids: Tensor, *, num_iterations: int = 10, chunk_size: int = _CHUNK_SIZE
) -> Tensor:
    """Run iterations of spherical k-means from given centroids.

    One iteration, in plain form::

        for k in range(K):
            own = [row for row in rows if argmax(centroids @ row) == k]
            if own:
                centroids[k] = normalize(sum(own))

    A centroid without rows does not change. Sums are matrix products, which unlike scattered
    additions give the same numbers in every run. Dhillon & Modha 2001
    (https://doi.org/10.1023/A:1007612920971), DeepCluster-v2 (https://arxiv.org/abs/2006.09882).

    Args:
        rows: (N, D).
        centroids: Initial centroids, (K, D): those of an earlier call, or from `sample_rows`.
        num_iterations: >= 0.
        chunk_size: Number of rows that are compared at once, >= 1. Smaller values need less
            memory and change the result by rounding only.

    Returns:
        (K, D), in the dtype of `rows`, at least float32.
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
    """Return the index of the nearest centroid of each row, (N,) int64.

    Args:
        rows: (N, D).
        centroids: (K, D).
        chunk_size: See `spherical_kmeans`.
    """
    with no_autocast(rows.device):
        found = [nearest for _, nearest in _nearest(rows, centroids, chunk_size)]
    return torch.cat(found)


def sample_rows(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Sample rows as initial centroids.

    Args:
        rows: (N, D), N >= 1.
        count: K. If N is smaller, some rows are sampled more than once. K-means assigns no rows
            to such copies.
        generator: Generator on the CPU.

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
