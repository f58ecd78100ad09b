"""Retrieval by cosine similarity: recall, precision and mean average precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.evaluation.accuracy import check_features
from lightly_core.progress import tracked


@dataclass(frozen=True)
class RetrievalResult:
    """Result of `retrieval`. All numbers are means over the queries, in [0, 1].

    Images of the query's class are relevant.

    Attributes:
        recall: For each k, the fraction of queries with a relevant image among the first k.
        precision: For each k, the fraction of relevant images among the first k.
        mean_average_precision: Average precision over the whole ranking.
        map_at_r: MAP@R: the sum of the precision at every relevant image among the first R,
            divided by R, the number of relevant images (Musgrave et al. 2020).
        num_gallery: Images that were searched for each query.
        num_query: Queries that were counted.
        notes: Remarks to be reported with the numbers, one sentence each.
    """

    recall: dict[int, float]
    precision: dict[int, float]
    mean_average_precision: float
    map_at_r: float
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
        chunk_size: Queries that are processed at once; memory is about 40 * chunk_size * N bytes.

    Returns:
        Recall and precision at each k, and the two mean average precisions. Queries without a
        relevant image in the gallery are skipped, with a note.

    Raises:
        ValueError: There is no image or query, a feature is nan or infinite, no query has an
            image to find, a k is below 1, or only one of the two query arguments is given.
    """
    if not ks or min(ks) < 1:
        raise ValueError(f"expected at least one k, each 1 or more, got {list(ks)}")
    if (query_features is None) != (query_labels is None):
        raise ValueError("expected query_features and query_labels together, got one of them")
    check_features("gallery", features, labels, None)
    leave_one_out = query_features is None or query_labels is None
    if query_features is None or query_labels is None:
        query_features, query_labels = features, labels
    else:
        check_features("query", query_features, query_labels, None)
    wanted = _num_right(labels, query_labels) - int(leave_one_out)  # (M,)
    counted = wanted.gt(0).nonzero()[:, 0]
    if len(counted) == 0:
        raise ValueError(f"none of the {len(wanted)} queries has an image of its class to find")
    gallery = F.normalize(features.float(), dim=1)
    sums = torch.zeros(2 + 2 * len(ks), dtype=torch.float64, device=features.device)
    chunks = torch.split(counted, chunk_size)
    for chunk in tracked(chunks, "Ranking images", len(chunks), unit="parts"):
        query = F.normalize(query_features[chunk].float(), dim=1)
        cosine = query @ gallery.T  # (c, N)
        if leave_one_out:
            cosine.scatter_(1, chunk[:, None], -torch.inf)  # goes to the end of the ranking
        order = cosine.argsort(dim=1, descending=True, stable=True)
        right = labels[order] == query_labels[chunk, None]  # (c, N)
        if leave_one_out:
            right = right[:, :-1]
        sums += _measures(right, wanted[chunk], ks)
    num_gallery = len(features) - int(leave_one_out)
    means = (sums / len(counted)).tolist()
    return RetrievalResult(
        recall=dict(zip(ks, means[2::2], strict=True)),
        precision=dict(zip(ks, means[3::2], strict=True)),
        mean_average_precision=means[0],
        map_at_r=means[1],
        num_gallery=num_gallery,
        num_query=len(counted),
        notes=_notes(len(wanted) - len(counted), ks, num_gallery),
    )


def _num_right(labels: Tensor, query_labels: Tensor) -> Tensor:
    """Count the gallery's images of each query's class, (M,) int64."""
    classes, counts = torch.unique(labels, return_counts=True)
    rows = torch.searchsorted(classes, query_labels.contiguous()).clamp(max=len(classes) - 1)
    return torch.where(classes[rows] == query_labels, counts[rows], 0)


def _measures(right: Tensor, wanted: Tensor, ks: Sequence[int]) -> Tensor:
    """Sum the measures over some queries.

    Args:
        right: Whether the image at each rank of the ranking is of the query's class, (c, N).
        wanted: Number of such images, (c,).
        ks: As in `retrieval`.

    Returns:
        Average precision, MAP@R, then recall and precision for each k; (2 + 2 * len(ks),).
    """
    rank = torch.arange(1, right.shape[1] + 1, device=right.device)
    found = right.cumsum(dim=1)  # (c, N), right images up to each rank
    precision = (found / rank).masked_fill_(~right, 0)
    first = precision.masked_fill(rank > wanted[:, None], 0)
    measures = [
        (precision.sum(dim=1, dtype=torch.float64) / wanted).sum(),
        (first.sum(dim=1, dtype=torch.float64) / wanted).sum(),
    ]
    for k in ks:
        among = found[:, min(k, right.shape[1]) - 1]
        measures += [(among > 0).double().sum(), (among.double() / k).sum()]
    return torch.stack(measures)


def _notes(num_skipped: int, ks: Sequence[int], num_gallery: int) -> tuple[str, ...]:
    notes = []
    if num_skipped:
        notes.append(f"queries skipped, no other image of their class: {num_skipped}")
    if max(ks) > num_gallery:
        notes.append(f"k up to {max(ks)}, but only {num_gallery} images to find")
    return tuple(notes)
