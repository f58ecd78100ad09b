"""Splits labelled images into training images and queries. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


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
