"""Coding rate: the volume that embeddings occupy."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.distributed import reduce_sum_with_gradient, world_size
from lightly_core.parts.precision import no_autocast, single


def coding_rate(embeddings: Tensor, *, eps: float, normalize: bool = True) -> Tensor:
    """Return the coding rate of the rows of all processes, which a loss maximises.

    With rows z of length 1 and N rows on all processes::

        rate = 1 / 2 * log det(I + D / (N * eps) * sum over i of z[i] z[i]^T)

    SimDINO (https://arxiv.org/abs/2502.10385) subtracts it, weighted by `coding_rate_weight`, from
    the loss, since collapsed embeddings have a small rate. It replaces centre, temperatures and
    prototypes. It is applied to each global view separately, and to no local view.

    Args:
        embeddings: (B, D), B the same on all processes.
        eps: The papers' squared precision, > 0: 0.05 in SimDINO's released command, 0.2 in EMP-SSL.
            Smaller values give larger gradients for collapsed embeddings.
        normalize: Divide rows by their lengths. Set it to False if lengths matter, as for means of
            two directions, which are short where the two disagree.

    Returns:
        Scalar in nats, at least float32. For rows of length 1, ``log(1 + D / eps) / 2`` if all
        are equal, and ``D * log(1 + 1 / eps) / 2`` if they are uniform on the sphere.

    Raises:
        ValueError: `eps` is not positive.
    """
    if eps <= 0:
        raise ValueError(f"expected eps > 0, got {eps}")
    with no_autocast(embeddings.device):
        rows = single(embeddings)
        if normalize:
            rows = F.normalize(rows, dim=1)
        num_rows, dim = len(rows) * world_size(), rows.shape[1]
        second_moment = reduce_sum_with_gradient(rows.T @ rows) / num_rows  # (D, D)
        identity = torch.eye(dim, dtype=rows.dtype, device=rows.device)
        # Positive definite by construction. cholesky_ex does not wait for the device to check it.
        factor, _ = torch.linalg.cholesky_ex(identity + dim / eps * second_moment)
        rate: Tensor = factor.diagonal().log().sum()
        return rate


def coding_rate_weight(dim: int, num_rows: int) -> float:
    """Return SimDINO's weight of the coding rate, ``(D + N) / (D * N)``.

    It balances the rate's gradient, which grows with both, against that of a mean of cosines
    (https://arxiv.org/abs/2502.10385).

    Args:
        dim: D.
        num_rows: N, rows of all processes.
    """
    return (dim + num_rows) / (dim * num_rows)
