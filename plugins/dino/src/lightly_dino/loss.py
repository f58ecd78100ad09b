"""Losses of the family that are no parts of the core.

Shapes: B images, T views of the teacher, S of the student, R = T * B, N positions, D features.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.precision import no_autocast, single
from lightly_dino.features import Features


def view_agreement(teacher: Tensor, student: Tensor) -> Tensor:
    """Return the mean cosine of each view of the student with every other view of the teacher.

    SimDINO, https://arxiv.org/abs/2502.10385. Views t and t are the same picture and left out::

        mean over t, s != t, b of cos(teacher[t, b], student[s, b])

    Args:
        teacher: (T, B, D), any length, no gradient.
        student: (S, B, D); the first T views are those of the teacher.

    Returns:
        Scalar in [-1, 1], at least float32.
    """
    with no_autocast(student.device):
        own = F.normalize(single(student), dim=-1)
        wanted = F.normalize(single(teacher.detach()), dim=-1)
        table = torch.einsum("tbd,sbd->ts", wanted, own) / student.shape[1]
    num_pairs = table.numel() - min(table.shape)
    return (table.sum() - table.diagonal().sum()) / num_pairs


def patch_distance(teacher: Tensor, student: Tensor, weights: Tensor, num_images: int) -> Tensor:
    """Return ``1 - cos`` of hidden patches, each masked image weighing the same.

    The counterpart of `lightly_core.parts.cross_entropy.masked_patch_loss` with cosines.

    Args:
        teacher: Embeddings of M hidden patches, (M, D), no gradient.
        student: (M, D).
        weights: 1 / (hidden patches of the image), 0 where a row does not count, (M,).
        num_images: Global views of this process.

    Returns:
        Scalar in [0, 2], at least float32.
    """
    with no_autocast(student.device):
        distances = 1 - _cosine(student, teacher)  # (M,)
        return (distances * weights).sum() / num_images


def anchor_loss(student: Features, start: Features, visible: Tensor | None = None) -> Tensor:
    """Measure how far features have gone from those of the untouched network.

    The mean of ``1 - cos`` of the pooled features, plus that of all positions.

    Args:
        student: Features (R, D) and (R, N, D).
        start: The same of the network as it was, no gradient.
        visible: Positions that count, (R, N) bool; None: all.

    Returns:
        Scalar in [0, 4], at least float32; 0 where all directions are kept.
    """
    with no_autocast(student.pooled.device):
        pooled = 1 - _cosine(student.pooled, start.pooled).mean()
        patches = 1 - _cosine(student.patches, start.patches)  # (R, N)
        if visible is None:
            return pooled + patches.mean()
        counted = visible.to(patches)
        return pooled + (patches * counted).sum() / counted.sum().clamp(min=1)


def entropy(probabilities: Tensor) -> Tensor:
    """Return the mean entropy in nats of rows (..., K); for metrics."""
    rows: Tensor = torch.special.entr(probabilities.detach()).sum(dim=-1)
    return rows.mean()


def _cosine(student: Tensor, fixed: Tensor) -> Tensor:
    return F.cosine_similarity(single(student), single(fixed.detach()), dim=-1)
