"""KoLeo: increase the distance of embeddings to their nearest neighbours."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.distributed import gather_with_gradient, rank
from lightly_core.parts.precision import no_autocast, single


def koleo(embeddings: Tensor, *, eps: float = 1e-8, all_processes: bool = False) -> Tensor:
    """Return the Kozachenko-Leonenko estimate of the negative entropy, up to constants.

    With x of length 1::

        loss = -1 / B * sum over i of log(min over j != i of |x[i] - x[j]| + eps)

    It is small if embeddings are uniform on the sphere. Sablayrolles et al. 2018
    (https://arxiv.org/abs/1806.03198). DINOv2 (https://arxiv.org/abs/2304.07193) applies it with
    weight 0.1 to the class tokens of each global view separately. Otherwise the other view of an
    image would always be the nearest neighbour.

    Args:
        embeddings: (B, D), before any head. Any length, normalised here.
        eps: Added to distances, > 0. The loss of two equal embeddings is ``-log(eps)``.
        all_processes: Search neighbours on all processes (DINOv3,
            https://arxiv.org/abs/2508.10104), not on this one only.

    Returns:
        Scalar in nats, at least float32, >= -log(2).

    Raises:
        ValueError: There is only one embedding.
    """
    with no_autocast(embeddings.device):
        x = F.normalize(single(embeddings), dim=1)
        others = gather_with_gradient(x) if all_processes else x  # (B * processes, D)
        if len(others) < 2:
            raise ValueError("a nearest neighbour needs a batch of at least 2 images, got 1")
        with torch.no_grad():
            similarity = x @ others.T  # (B, B * processes)
            start = rank() * len(x) if all_processes else 0
            similarity[:, start : start + len(x)].fill_diagonal_(-2.0)  # below any cosine
            nearest = similarity.argmax(dim=1)
        distance = torch.linalg.vector_norm(x - others[nearest], dim=1)
        loss: Tensor = -(distance + eps).log().mean()
        return loss
