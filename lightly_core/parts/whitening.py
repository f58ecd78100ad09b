"""Whitening: columns, or rows, that are not correlated and have variance 1.

B rows on this process, N on all processes, D columns.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightly_core.parts.covariance import centered, covariance
from lightly_core.parts.distributed import gather_with_gradient, rank
from lightly_core.parts.precision import no_autocast, single


def cholesky_whitened(x: Tensor, *, eps: float) -> Tensor:
    """Whiten the columns of each matrix on its own, on this process.

    With L L^T the covariance, ``L^-1`` times the centred rows: the covariance of what comes out is
    the identity. W-MSE, https://arxiv.org/abs/2007.06346.

    Args:
        x: (..., R, D), R > D unless `eps` > 0.
        eps: In [0, 1). The covariance is ``(1 - eps) * covariance + eps * identity``.

    Returns:
        (..., R, D), at least float32. nan where the covariance has no root: the device is not
        waited for to say so.
    """
    with no_autocast(x.device):
        rows = single(x)
        rows = rows - rows.mean(dim=-2, keepdim=True)
        moments = rows.mT @ rows / (rows.shape[-2] - 1)  # (..., D, D)
        identity = torch.eye(rows.shape[-1], dtype=rows.dtype, device=rows.device)
        factor, _ = torch.linalg.cholesky_ex((1 - eps) * moments + eps * identity)
        whitened: Tensor = torch.linalg.solve_triangular(factor, rows.mT, upper=False).mT
        return whitened


def inverse_root(matrix: Tensor, *, num_iterations: int) -> Tensor:
    """Approach the inverse of the root of a covariance by Newton's iterations.

    Directions in which there is little or nothing stay small, where the true inverse would blow
    them up: after few iterations ``root @ matrix @ root`` is the identity for large eigenvalues
    and falls off for small ones. Iterative normalisation, https://arxiv.org/abs/1904.03441.

    Args:
        matrix: (n, n), symmetric, no negative eigenvalues, not 0.
        num_iterations: T, >= 0; 0 divides by the root of the trace only. The paper has 5; with very
            many, rounding takes over.

    Returns:
        (n, n), at least float32.
    """
    with no_autocast(matrix.device):
        matrix = single(matrix)
        trace = matrix.diagonal().sum()
        scaled = matrix / trace  # eigenvalues in [0, 1], for which the iterations converge
        root = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
        for _ in range(num_iterations):
            root = 1.5 * root - 0.5 * (root @ root @ root @ scaled)
        return root * trace.rsqrt()


def whitened_columns(x: Tensor, *, num_iterations: int) -> Tensor:
    """Whiten columns with the covariance over the rows of all processes.

    Args:
        x: (B, D), for which N should be above D.
        num_iterations: See `inverse_root`.

    Returns:
        (B, D), at least float32.
    """
    root = inverse_root(covariance(x), num_iterations=num_iterations)  # (D, D)
    with no_autocast(x.device):
        return centered(x) @ root


def whitened_rows(x: Tensor, *, num_iterations: int) -> Tensor:
    """Whiten rows, those of all processes together: columns take the part of samples.

    What is left to do where there are fewer rows than columns, in which case columns cannot be
    made uncorrelated. Channel whitening, https://arxiv.org/abs/2206.02683.

    Args:
        x: (B, D), for which D should be above N.
        num_iterations: See `inverse_root`.

    Returns:
        (B, D), at least float32; each row has mean 0.
    """
    with no_autocast(x.device):
        rows = single(x)
        rows = gather_with_gradient(rows - rows.mean(dim=1, keepdim=True))  # (N, D)
        gram = rows @ rows.T / (rows.shape[1] - 1)  # (N, N)
        root = inverse_root(gram, num_iterations=num_iterations)
        start = rank() * len(x)
        return root[start : start + len(x)] @ rows
