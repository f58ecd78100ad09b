"""Accuracy of a k-nearest-neighbour classifier on frozen features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.evaluation.accuracy import check_features, topk_hits
from lightly_core.evaluation.neighbours import ExactSearch, Search, at_once
from lightly_core.progress import tracked


@dataclass(frozen=True)
class KnnResult:
    """Result of `weighted_knn`.

    Attributes:
        top1: Fraction of the queries whose best class is the true one, in [0, 1].
        top5: Fraction of the queries with the true class among the five best, in [0, 1].
        k: Neighbours per query.
        num_train: Images among which neighbours were searched.
        num_query: Images that were classified.
        notes: Remarks to be reported with the numbers, one sentence each.
    """

    top1: float
    top5: float
    k: int
    num_train: int
    num_query: int
    notes: tuple[str, ...] = ()


def weighted_knn(
    train_features: Tensor,
    train_labels: Tensor,
    query_features: Tensor,
    query_labels: Tensor,
    *,
    num_classes: int,
    k: int = 20,
    temperature: float = 0.07,
    chunk_size: int = 1024,
) -> KnnResult:
    """Classify every query by its k nearest neighbours, weighted by similarity.

    A neighbour votes for its class with ``exp(cosine / temperature)`` (Wu et al. 2018,
    https://arxiv.org/abs/1805.01978). Classes with equal scores rank by their number, and a class
    without a vote never counts as a hit.

    Args:
        train_features: (N, D), of any norm; normalised here.
        train_labels: (N,) int64 in [0, num_classes).
        query_features: (M, D), of any norm; normalised here.
        query_labels: (M,) int64 in [0, num_classes).
        num_classes: Number of classes.
        k: Neighbours per query; reduced to N, with a note, if there are fewer images.
        temperature: Divisor of the cosine, > 0.
        chunk_size: Most queries that are processed at once. Memory beside the features does not
            grow with N, see `lightly_core.evaluation.neighbours`.

    Returns:
        Accuracies and counts.

    Raises:
        ValueError: There is no training or query image, a feature is nan or infinite, a label is
            out of range, or k is below 1.
    """
    (result,) = weighted_knn_many(
        train_features,
        train_labels,
        query_features,
        query_labels,
        num_classes=num_classes,
        ks=(k,),
        temperature=temperature,
        chunk_size=chunk_size,
    )
    return result


def weighted_knn_many(
    train_features: Tensor,
    train_labels: Tensor,
    query_features: Tensor,
    query_labels: Tensor,
    *,
    num_classes: int,
    ks: Sequence[int],
    temperature: float = 0.07,
    chunk_size: int = 1024,
    search: Search | None = None,
) -> list[KnnResult]:
    """Classify every query as `weighted_knn` does, for several k at the cost of the largest.

    The results equal those of one call per k, except for ties: if the k-th and the next neighbour
    are equally near, either of them may vote.

    Args:
        train_features: As in `weighted_knn`.
        train_labels: As in `weighted_knn`.
        query_features: As in `weighted_knn`.
        query_labels: As in `weighted_knn`.
        num_classes: As in `weighted_knn`.
        ks: Neighbours per query, at least one number; each at least 1.
        temperature: As in `weighted_knn`.
        chunk_size: As in `weighted_knn`.
        search: Finds the neighbours among `train_features`; None: all are compared.

    Returns:
        One result for each of `ks`, in their order.

    Raises:
        ValueError: As in `weighted_knn`, or `ks` is empty or has a number below 1.
    """
    if not ks or min(ks) < 1:
        raise ValueError(f"expected at least one k, each 1 or more, got {list(ks)}")
    check_features("train", train_features, train_labels, num_classes)
    check_features("query", query_features, query_labels, num_classes)
    num_train, num_query = len(train_features), len(query_features)
    used = [min(k, num_train) for k in ks]
    search = ExactSearch(train_features) if search is None else search
    correct = torch.zeros(len(used), 2, dtype=torch.int64, device=train_features.device)
    size = at_once(max(num_classes, *used), chunk_size)
    starts = range(0, num_query, size)
    for start in tracked(starts, "Searching for neighbours", len(starts), unit="parts"):
        stop = start + size
        query = F.normalize(query_features[start:stop].float(), dim=1)
        cosine, neighbours = search(query, max(used))  # (c, k) each
        # Relative to the nearest neighbour: the ranking is the same, and exp cannot overflow.
        votes = ((cosine - cosine[:, :1]) / temperature).exp()
        votes.masked_fill_(neighbours < 0, 0)  # not found
        classes = train_labels[neighbours]
        for row, k in enumerate(used):
            scores = votes.new_zeros(len(query), num_classes)
            scores.scatter_add_(1, classes[:, :k], votes[:, :k])  # (c, num_classes)
            correct[row] += topk_hits(scores, query_labels[start:stop], (1, 5), floor=0)
    return [
        KnnResult(top1, top5, used_k, num_train, num_query, _reduced(k, used_k))
        for (top1, top5), k, used_k in zip(
            (correct.double() / num_query).tolist(), ks, used, strict=True
        )
    ]


def _reduced(k: int, used_k: int) -> tuple[str, ...]:
    return () if used_k == k else (f"k reduced from {k} to the number of images, {used_k}",)
