"""Targets and loss of ReSA.

B images on this process, N on all of them, S views of the student, T of the teacher.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.cross_entropy import soft_cross_entropy
from lightly_core.parts.precision import no_autocast, single
from lightly_core.parts.sinkhorn import sinkhorn


def self_assignment(
    features: Tensor, keys: Tensor, temperature: float, num_iterations: int
) -> Tensor:
    """Return to which images each image belongs, by features of the backbone.

    Args:
        features: The student's, (B, D), any length; no gradient flows into them.
        keys: The teacher's of the images of all processes, (N, D), any length.
        temperature: Divisor of the cosines, > 0.
        num_iterations: See `sinkhorn`.

    Returns:
        Shares (B, N), at least float32: rows sum to 1, columns over all processes nearly so.
    """
    return sinkhorn(_cosines(features.detach(), keys), temperature, num_iterations=num_iterations)


def assignment_loss(
    assignment: Tensor,
    embeddings: Sequence[Tensor],
    targets: Sequence[Tensor],
    temperature: float,
) -> Tensor:
    """Let the embeddings of different views be as alike as the images' features are.

    The mean over pairs of different views s, t and over images b of::

        -sum over n of assignment[b, n]
            * log_softmax over n of cosine(embeddings[s][b], targets[t][n]) / temperature

    Args:
        assignment: Of `self_assignment`, (B, N); the same for all pairs.
        embeddings: S tensors (B, P), any length; the first T show what the teacher's views show.
        targets: T tensors (N, P), any length; no gradient flows into them.
        temperature: Divisor of the cosines, > 0.

    Returns:
        Scalar in nats, at least float32; log(N) for equal embeddings.
    """
    losses = [
        soft_cross_entropy(assignment, _cosines(embedding, target.detach()), temperature).mean()
        for s, embedding in enumerate(embeddings)
        for t, target in enumerate(targets)
        if s != t
    ]
    return torch.stack(losses).mean()


def _cosines(rows: Tensor, columns: Tensor) -> Tensor:
    """Return the cosines (B, N) of rows (B, D) and columns (N, D), at least float32."""
    with no_autocast(rows.device):
        return F.normalize(single(rows), dim=1) @ F.normalize(single(columns), dim=1).T
