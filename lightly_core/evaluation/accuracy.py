"""Shared by the protocols on features: checks of their input, and top-k hits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def topk_hits(
    scores: Tensor, labels: Tensor, ks: Sequence[int], *, floor: float = -torch.inf
) -> Tensor:
    """Count the rows whose true class is among the k best.

    Classes with equal scores rank by their number. A class whose score is nan or not above
    `floor` never counts as a hit.

    Args:
        scores: (B, num_classes), higher is better.
        labels: (B,) int64 in [0, num_classes).
        ks: Numbers of best classes to consider.
        floor: Score of a class without any support.

    Returns:
        (len(ks),) int64 on the device of `scores`, each in [0, B].
    """
    own = scores.gather(1, labels[:, None])  # (B, 1)
    # The rank of the true class in a stable sort, without sorting.
    number = torch.arange(scores.shape[1], device=scores.device)
    before = (scores > own) | ((scores == own) & (number < labels[:, None]))
    rank = before.sum(dim=1)  # (B,)
    found = own[:, 0] > floor
    return torch.stack([((rank < k) & found).sum() for k in ks])


def check_features(name: str, features: Tensor, labels: Tensor, num_classes: int | None) -> None:
    """Refuse features and labels from which no accuracy can be computed.

    Args:
        name: Name of the set for the message, e.g. "train".
        features: Must be (N, D) and finite.
        labels: Must be (N,) int64 in [0, num_classes).
        num_classes: Number of classes; None allows any class number.

    Raises:
        ValueError: There is no image, a feature is nan or infinite, a label is out of range, or
            the shapes do not match.
    """
    if len(features) == 0:
        raise ValueError(f"expected at least one {name} image, got none")
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise ValueError(
            f"expected {name} features (N, D) and {name} labels (N,), "
            f"got {tuple(features.shape)} and {tuple(labels.shape)}"
        )
    if not all(bool(torch.isfinite(part).all()) for part in torch.split(features, 4096)):
        raise ValueError(f"expected finite {name} features, got nan or infinite values")
    if num_classes is not None:
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= num_classes:
            raise ValueError(
                f"expected {name} labels in [0, {num_classes}), got labels from {low} to {high}"
            )
