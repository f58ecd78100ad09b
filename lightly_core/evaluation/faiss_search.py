"""Approximate search for nearest neighbours by an inverted file of FAISS.

The rows of the bank are clustered, and each query is compared with the rows of the nearest clusters
only (Sivic and Zisserman 2003; Douze et al. 2024, https://arxiv.org/abs/2401.08281).
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.evaluation.neighbours import ExactSearch, Search
from lightly_core.progress import tracked

#: Rows for each cluster below which k-means of FAISS warns, and rows from which it learns.
_MIN_ROWS, _LEARNED_ROWS = 39, 64
_ADDED_ROWS = 65536
#: Queries on which the recall is measured.
_SAMPLED = 256


def num_clusters(num_rows: int) -> int:
    """Return ``nlist``, the number of clusters of N rows: 4 sqrt(N), and 39 rows each at least.

    It is the lower end of the range in the guidelines of FAISS, which are for up to a million rows:
    https://github.com/facebookresearch/faiss/wiki/Guidelines-to-choose-an-index.
    """
    return max(1, min(round(4 * math.sqrt(num_rows)), num_rows // _MIN_ROWS))


def num_probed(num_rows: int) -> int:
    """Return the default of ``nprobe``: a 32nd of the clusters, but at least 16."""
    clusters = num_clusters(num_rows)
    return min(clusters, max(16, clusters // 32))


class FaissSearch:
    """Searches in the nearest clusters of a bank. The index holds a copy of the bank.

    Equal arguments give equal results if FAISS runs on one thread.

    Args:
        bank: (N, D), of any norm and float type.
        nprobe: Clusters that each query is compared with; None: `num_probed`.
        seed: Seed of the clustering.

    Attributes:
        nlist: Number of clusters.
        nprobe: Clusters that each query is compared with.
    """

    def __init__(self, bank: Tensor, *, nprobe: int | None = None, seed: int = 0) -> None:
        faiss: Any = importlib.import_module("faiss")  # optional, and has no types
        num_rows, dim = bank.shape
        self.nlist = num_clusters(num_rows)
        self.nprobe = min(nprobe or num_probed(num_rows), self.nlist)
        self._index = faiss.IndexIVFFlat(
            faiss.IndexFlatIP(dim), dim, self.nlist, faiss.METRIC_INNER_PRODUCT
        )
        self._index.cp.seed = seed
        self._index.nprobe = self.nprobe
        chosen = np.random.default_rng(seed).permutation(num_rows)[: self.nlist * _LEARNED_ROWS]
        self._index.train(_array(bank[torch.from_numpy(np.sort(chosen)).to(bank.device)]))
        parts = torch.split(bank, _ADDED_ROWS)
        for part in tracked(parts, "Indexing features", len(parts), unit="parts"):
            self._index.add(_array(part))

    def __call__(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """See `lightly_core.evaluation.neighbours.Search`."""
        cosine, rows = (torch.from_numpy(found) for found in self._index.search(_array(queries), k))
        cosine.masked_fill_(rows < 0, -torch.inf)
        return cosine.to(queries.device), rows.to(queries.device)


def _array(rows: Tensor) -> np.ndarray:
    """Return normalised rows (n, D) as FAISS takes them."""
    return np.ascontiguousarray(F.normalize(rows.float(), dim=1).cpu().numpy())


def search_recall(
    search: Search, bank: Tensor, queries: Tensor, ks: Sequence[int], seed: int
) -> dict[int, float]:
    """Measure which fraction of the k nearest rows a search finds, on up to 256 queries.

    Args:
        search: The search.
        bank: The rows, (N, D), of any norm.
        queries: (M, D), of any norm.
        ks: Numbers of neighbours.
        seed: Seed of the choice of queries.

    Returns:
        Recall at each k, in [0, 1].
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(len(queries))[:_SAMPLED])
    sample = queries[torch.from_numpy(chosen).to(queries.device)]
    sample = F.normalize(sample.float(), dim=1)
    most = min(max(ks), len(bank))
    (_, right), (_, found) = ExactSearch(bank)(sample, most), search(sample, most)
    recalls = {}
    for k in ks:
        pairs = zip(right[:, :k], found[:, :k], strict=True)
        hits = sum(int(torch.isin(rows, near).sum()) for rows, near in pairs)
        recalls[k] = hits / right[:, :k].numel()
    return recalls
