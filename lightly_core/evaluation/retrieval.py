"""Retrieval by cosine similarity: recall, precision and mean average precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.evaluation.accuracy import check_features
from lightly_core.evaluation.neighbours import Search, at_once, cosines
from lightly_core.progress import tracked

#: Memory of the ranking of one image, in numbers of 4 bytes: positions, labels, counts, precisions.
_RANKING_NUMBERS = 10
#: Most images that an approximate search finds for one query.
_MAX_DEPTH = 4096


@dataclass(frozen=True)
class RetrievalResult:
    """Result of `retrieval`. All numbers are means over the queries, in [0, 1].

    Images of the query's class are relevant.

    Attributes:
        recall: For each k, the fraction of queries with a relevant image among the first k.
        precision: For each k, the fraction of relevant images among the first k.
        mean_average_precision: Average precision over the whole ranking; None if only the first
            images of the ranking are known.
        map_at_r: MAP@R: the sum of the precision at every relevant image among the first R,
            divided by R, the number of relevant images (Musgrave et al. 2020). None if fewer than
            R images of the ranking are known.
        num_gallery: Images that were searched for each query.
        num_query: Queries that were counted.
        notes: Remarks to be reported with the numbers, one sentence each.
    """

    recall: dict[int, float]
    precision: dict[int, float]
    mean_average_precision: float | None
    map_at_r: float | None
    num_gallery: int
    num_query: int
    notes: tuple[str, ...] = ()


def retrieval(
    features: Tensor,
    labels: Tensor,
    *,
    query_features: Tensor | None = None,
    query_labels: Tensor | None = None,
    ks: Sequence[int] = (1, 5, 10),
    chunk_size: int = 1024,
    search: Search | None = None,
) -> RetrievalResult:
    """Rank the images of a gallery by cosine for every query, and measure the ranking.

    Without separate queries, every image of the gallery is a query against all others. Equally
    near images rank in the order of the gallery. MAP@R is that of Musgrave et al. 2020, "A Metric
    Learning Reality Check", https://arxiv.org/abs/2003.08505.

    Args:
        features: Gallery, (N, D), of any norm; normalised here.
        labels: (N,) int64.
        query_features: (M, D); None uses every image of the gallery as a query.
        query_labels: (M,) int64; given together with `query_features`.
        ks: Numbers of first images to consider, each at least 1. If the gallery is smaller,
            precision is still divided by k, and a note is added.
        chunk_size: Most queries that are processed at once. Fewer are if N is large, so that memory
            beside the features stays below 1 GiB for N up to 6 million.
        search: Finds the first images of the ranking in `features`, for separate queries. None:
            the whole ranking is computed.

    Returns:
        Recall and precision at each k, and the two mean average precisions. Queries without a
        relevant image in the gallery are skipped, with a note.

    Raises:
        ValueError: There is no image or query, a feature is nan or infinite, no query has an
            image to find, a k is below 1, only one of the two query arguments is given, or
            `search` is given without them.
    """
    queries = _queries(features, labels, query_features, query_labels, ks)
    if search is not None and queries.leave_one_out:
        raise ValueError("expected query_features and query_labels with search, got none")
    counted = queries.wanted.gt(0).nonzero()[:, 0]
    if len(counted) == 0:
        count = len(queries.wanted)
        raise ValueError(f"none of the {count} queries has an image of its class to find")
    ranked = _Ranked(features, labels, queries, ks, chunk_size, search)
    sums = torch.zeros(2 + 2 * len(ks), dtype=torch.float64, device=features.device)
    chunks = torch.split(counted, at_once(ranked.depth, chunk_size))
    for chunk in tracked(chunks, "Ranking images", len(chunks), unit="parts"):
        found = [
            _measures(right, queries.wanted[rows], ks) for rows, right in ranked.of(chunk)
        ]  # (2 + 2 * len(ks), n) each
        sums += torch.cat(found, dim=1).sum(dim=1)
    means = (sums / len(counted)).tolist()
    num_gallery = len(features) - int(queries.leave_one_out)
    return RetrievalResult(
        recall=dict(zip(ks, means[2::2], strict=True)),
        precision=dict(zip(ks, means[3::2], strict=True)),
        mean_average_precision=means[0] if search is None else None,
        map_at_r=means[1] if ranked.depth >= int(queries.wanted.max()) else None,
        num_gallery=num_gallery,
        num_query=len(counted),
        notes=_notes(len(queries.wanted) - len(counted), ks, num_gallery),
    )


@dataclass(frozen=True, eq=False)
class _Queries:
    """Features (M, D), labels (M,), and the number of images to find for each, (M,)."""

    features: Tensor
    labels: Tensor
    wanted: Tensor
    leave_one_out: bool


def _queries(
    features: Tensor,
    labels: Tensor,
    query_features: Tensor | None,
    query_labels: Tensor | None,
    ks: Sequence[int],
) -> _Queries:
    """Check the arguments of `retrieval` and return the queries."""
    if not ks or min(ks) < 1:
        raise ValueError(f"expected at least one k, each 1 or more, got {list(ks)}")
    if (query_features is None) != (query_labels is None):
        raise ValueError("expected query_features and query_labels together, got one of them")
    check_features("gallery", features, labels, None)
    if query_features is None or query_labels is None:
        return _Queries(features, labels, _num_right(labels, labels) - 1, True)
    check_features("query", query_features, query_labels, None)
    return _Queries(query_features, query_labels, _num_right(labels, query_labels), False)


class _Ranked:
    """Ranks the images of a gallery, as `retrieval` does.

    Attributes:
        depth: Number of first images that are known, at most N.
    """

    def __init__(
        self,
        features: Tensor,
        labels: Tensor,
        queries: _Queries,
        ks: Sequence[int],
        chunk_size: int,
        search: Search | None,
    ) -> None:
        self._features = features
        self._labels = labels
        self._queries = queries
        self._search = search
        self.depth = len(features)
        if search is not None:
            wanted = int(queries.wanted.max())
            self.depth = min(max(*ks, wanted if wanted <= _MAX_DEPTH else 1), len(features))
        # A ranking takes several times the memory of the cosines.
        self._few = at_once(_RANKING_NUMBERS * self.depth, chunk_size)

    def of(self, chunk: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the numbers of some queries, and whether the image at each rank is right.

        Args:
            chunk: Numbers of the queries, (c,).

        Returns:
            Parts (n,) of `chunk`, and (n, R) bool, R ranks.
        """
        query = F.normalize(self._queries.features[chunk].float(), dim=1)
        right_label = self._queries.labels[:, None]
        if self._search is not None:
            for rows, part in self._parts(chunk, query):
                _, order = self._search(part, self.depth)
                yield rows, (self._labels[order] == right_label[rows]) & (order >= 0)
            return
        alone = self._queries.leave_one_out
        cosine = cosines(query, self._features)  # (c, N)
        if alone:
            cosine.scatter_(1, chunk[:, None], -torch.inf)  # goes to the end of the ranking
        for rows, part in self._parts(chunk, cosine):
            right = _in_order(part, self._labels == right_label[rows])
            yield rows, right[:, : right.shape[1] - int(alone)]

    def _parts(self, chunk: Tensor, values: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield queries and their values, a few at a time."""
        few = self._few
        return zip(torch.split(chunk, few), torch.split(values, few), strict=True)


def _in_order(cosine: Tensor, right: Tensor) -> Tensor:
    """Return which images are right in the order of their cosine, as a stable sort gives it.

    Whole numbers are sorted, which takes less time than a stable sort of positions. Their upper
    bits are those of the cosine, then follows the position in the gallery, and the last bit is what
    is returned.

    Args:
        cosine: (n, N) float32, without nan.
        right: Whether an image is right, (n, N) bool.

    Returns:
        (n, N) bool, the largest cosine first.
    """
    bits = (cosine + 0.0).view(torch.int32)  # no negative zero, which equals zero
    ascending = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    number = torch.arange(cosine.shape[1], device=cosine.device)
    keys = ((~ascending).long() << 32) | (2 * number + right)
    if keys.device.type == "cpu":
        keys.numpy().sort(axis=1)  # vectorised, unlike that of torch
    else:
        keys = keys.sort(dim=1).values
    return (keys & 1).bool()


def _num_right(labels: Tensor, query_labels: Tensor) -> Tensor:
    """Count the gallery's images of each query's class, (M,) int64."""
    classes, counts = torch.unique(labels, return_counts=True)
    rows = torch.searchsorted(classes, query_labels.contiguous()).clamp(max=len(classes) - 1)
    return torch.where(classes[rows] == query_labels, counts[rows], 0)


def _measures(right: Tensor, wanted: Tensor, ks: Sequence[int]) -> Tensor:
    """Compute the measures of some queries.

    Args:
        right: Whether the image at each rank of the ranking is of the query's class, (c, N).
        wanted: Number of such images, (c,).
        ks: As in `retrieval`.

    Returns:
        Average precision, MAP@R, then recall and precision for each k; (2 + 2 * len(ks), c)
        float64.
    """
    rank = torch.arange(1, right.shape[1] + 1, device=right.device)
    found = right.cumsum(dim=1)  # (c, N), right images up to each rank
    precision = (found / rank).masked_fill_(~right, 0)
    first = precision.masked_fill(rank > wanted[:, None], 0)
    measures = [
        precision.sum(dim=1, dtype=torch.float64) / wanted,
        first.sum(dim=1, dtype=torch.float64) / wanted,
    ]
    for k in ks:
        among = found[:, min(k, right.shape[1]) - 1]
        measures += [(among > 0).double(), among.double() / k]
    return torch.stack(measures)


def _notes(num_skipped: int, ks: Sequence[int], num_gallery: int) -> tuple[str, ...]:
    notes = []
    if num_skipped:
        notes.append(f"queries skipped, no other image of their class: {num_skipped}")
    if max(ks) > num_gallery:
        notes.append(f"k up to {max(ks)}, but only {num_gallery} images to find")
    return tuple(notes)
