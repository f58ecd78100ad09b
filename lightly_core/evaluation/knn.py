"""Accuracy of a k-nearest-neighbour classifier on frozen features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.evaluation.accuracy import check_features, topk_hits
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


@dataclass(frozen=True)
class Split:
    """A split of labelled images into training images and queries.

    Attributes:
        train: Positions of the training images, (N,) int64, ascending.
        query: Positions of the images that are classified, (M,) int64, ascending.
        num_single: Classes skipped because they have one image.
        num_excess: Classes skipped because `max_images` does not allow two images of each.
    """

    train: np.ndarray
    query: np.ndarray
    num_single: int
    num_excess: int


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
        chunk_size: Queries that are processed at once; memory is chunk_size times N numbers.

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
    train = F.normalize(train_features.float(), dim=1)
    correct = torch.zeros(len(used), 2, dtype=torch.int64, device=train.device)
    starts = range(0, num_query, chunk_size)
    for start in tracked(starts, "Searching for neighbours", len(starts), unit="parts"):
        stop = start + chunk_size
        query = F.normalize(query_features[start:stop].float(), dim=1)
        cosine, neighbours = (query @ train.T).topk(max(used), dim=1)  # (c, k) each
        # Relative to the nearest neighbour: the ranking is the same, and exp cannot overflow.
        votes = ((cosine - cosine[:, :1]) / temperature).exp()
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


def split(
    labels: Sequence[int] | np.ndarray, *, max_images: int, query_fraction: float, seed: int
) -> Split:
    """Split labelled images into training images and queries.

    Every class with at least two images is in both sets, and about the same fraction of each
    class is used. The same arguments give the same split on every machine.

    Args:
        labels: Class of each image; images with a negative class have no label and are skipped.
        max_images: Maximum number of images. If it is less than two per class, a random part of
            the classes is used.
        query_fraction: Fraction of the images that is classified, in (0, 1).
        seed: Seed of the choice of images.

    Returns:
        The two sets, both empty if no class has two images.
    """
    rng = np.random.default_rng(seed)
    given = np.asarray(labels, dtype=np.int64)
    order = np.argsort(given, kind="stable")
    classes, starts, counts = np.unique(given[order], return_index=True, return_counts=True)
    usable = np.flatnonzero((classes >= 0) & (counts >= 2))
    max_classes = max_images // 2
    chosen = usable
    if len(usable) > max_classes:
        chosen = np.sort(rng.permutation(usable)[:max_classes])
    train, query = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for row, quota in zip(chosen, _quotas(counts[chosen], max_images), strict=True):
        members = order[starts[row] : starts[row] + counts[row]]
        picked = rng.permutation(members)[:quota]
        num_query = min(max(round(quota * query_fraction), 1), quota - 1)
        query.append(picked[:num_query])
        train.append(picked[num_query:])
    return Split(
        train=np.sort(np.concatenate(train)),
        query=np.sort(np.concatenate(query)),
        num_single=int(((classes >= 0) & (counts == 1)).sum()),
        num_excess=len(usable) - len(chosen),
    )


def _quotas(sizes: np.ndarray, max_images: int) -> list[int]:
    """Return how many images of each class to use: two, and an equal fraction of the others."""
    others = int(sizes.sum()) - 2 * len(sizes)
    free = max_images - 2 * len(sizes)
    if free >= others:
        return [int(size) for size in sizes]
    # Integer arithmetic, so that the result is the same on every machine.
    return [2 + (int(size) - 2) * free // others for size in sizes]
