"""Whitening: transform columns or rows to be uncorrelated with variance 1.

B rows on this process, N on all processes, D columns.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightly_core.parts.covariance import centered, covariance
from lightly_core.parts.distributed import gather_with_gradient, rank
from lightly_core.parts.precision import no_autocast, single


def cholesky_whitened(x: Tensor, *, eps: float) -> Tensor:
    """Whiten the columns of each matrix separately, with the rows of this process.

    The result is ``L^-1`` times the centred rows, with L L^T their covariance, so its covariance is
    the identity. W-MSE, https://arxiv.org/abs/2007.06346.

    Args:
        x: (..., R, D), R > D unless `eps` > 0.
        eps: In [0, 1). The covariance is ``(1 - eps) * covariance + eps * identity``.

    Returns:
        (..., R, D), at least float32. It is nan if the covariance is not positive definite. There
        is no error, which would have to wait for the device.
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
    """Approximate the inverse square root of a covariance by Newton's iterations.

    The exact inverse would amplify directions with small eigenvalues, while a few iterations do
    not: ``root @ matrix @ root`` is the identity for large eigenvalues and smaller for small ones.
    Iterative normalisation, https://arxiv.org/abs/1904.03441.

    Args:
        matrix: (n, n), symmetric, no negative eigenvalues, not 0.
        num_iterations: T, >= 0. The paper uses 5. With 0 the result only divides by the root of the
            trace. With very many, rounding errors dominate.

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
        x: (B, D). N should be larger than D.
        num_iterations: See `inverse_root`.

    Returns:
        (B, D), at least float32.
    """
    root = inverse_root(covariance(x), num_iterations=num_iterations)  # (D, D)
    with no_autocast(x.device):
        return centered(x) @ root


def whitened_rows(x: Tensor, *, num_iterations: int) -> Tensor:
    """Whiten the rows of all processes together, with columns as samples.

    Use it if there are fewer rows than columns, since the columns then cannot be uncorrelated.
    Channel whitening, https://arxiv.org/abs/2206.02683.

    Args:
        x: (B, D). D should be larger than N.
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
