"""Mean, variance and covariance of a batch over all processes, with gradient.

B rows on this process, W processes, N = B * W rows in all, D columns. Every process must pass the
same number of rows. Gradients are summed over processes. Averaged by DistributedDataParallel, they
equal those of one process with all rows.

All results are at least float32: half precision has three digits, too few for covariances of
thousands of columns.
"""

from __future__ import annotations

from torch import Tensor

from lightly_core.parts.distributed import (
    gather_with_gradient,
    reduce_sum_with_gradient,
    world_size,
)
from lightly_core.parts.precision import no_autocast, single


def num_rows(x: Tensor) -> int:
    """Return N, the rows of x (B, ...) on all processes."""
    return len(x) * world_size()


def centered(x: Tensor) -> Tensor:
    """Subtract from each column its mean over all processes.

    Args:
        x: (B, ...).

    Returns:
        Tensor of the shape of `x`. Its columns sum to 0 over all processes.
    """
    rows = single(x)
    return rows - reduce_sum_with_gradient(rows.sum(dim=0)) / num_rows(rows)


def second_moment(first: Tensor, second: Tensor, *, ddof: int = 0) -> Tensor:
    """Return ``sum over all rows i of first[i] second[i]^T / (N - ddof)``.

    Args:
        first: (B, D), or (B, K, D) for K independent matrices.
        second: (B, E) or (B, K, E), row i belongs to row i of `first`.
        ddof: Subtracted from the number of rows. 1 gives the unbiased covariance of centred rows.

    Returns:
        (D, E) or (K, D, E), equal on all processes.
    """
    with no_autocast(first.device):
        total = reduce_sum_with_gradient(_rows_last(single(first)).mT @ _rows_last(single(second)))
    return total / (num_rows(first) - ddof)


def squared_norm(first: Tensor, second: Tensor, *, ddof: int = 0) -> Tensor:
    """Return the squared Frobenius norm of `second_moment`.

    With fewer rows than columns it is computed from products of rows: the sum over all i and j of
    ``(first[i] . first[j]) (second[i] . second[j]) / (N - ddof) ** 2``. Time and memory are those
    of the smaller matrix, (N, N) or (D, E).

    Args:
        first: (B, D) or (B, K, D).
        second: (B, E) or (B, K, E), row i belongs to row i of `first`.
        ddof: See `second_moment`.

    Returns:
        Scalar or (K,), equal on all processes.
    """
    total = num_rows(first)
    if total >= min(first.shape[-1], second.shape[-1]):
        return second_moment(first, second, ddof=ddof).square().sum(dim=(-2, -1))
    with no_autocast(first.device):
        products = _products(first) / (total - ddof)
        others = products if second is first else _products(second) / (total - ddof)
    return reduce_sum_with_gradient((products * others).sum(dim=(-2, -1)))


def diagonal_and_rest(first: Tensor, second: Tensor, *, ddof: int = 0) -> tuple[Tensor, Tensor]:
    """Return the diagonal of `second_moment`, and the sum of the squares of all other entries.

    Up to N = D / 2 the rest is `squared_norm` minus the squares of the diagonal, without a (D, D)
    matrix. Its error is that of the last digit of the norm. This is small: a matrix of rank N with
    equal diagonal entries has a rest of at least ``1 - N / D`` times its squared norm.

    Args:
        first: (B, D) or (B, K, D).
        second: Of the same shape, row i belongs to row i of `first`.
        ddof: See `second_moment`.

    Returns:
        The diagonal, (D,) or (K, D), and the rest, scalar or (K,), equal on all processes.
    """
    total, dim = num_rows(first), first.shape[-1]
    if 2 * total > dim:
        moments = second_moment(first, second, ddof=ddof)
        return moments.diagonal(dim1=-2, dim2=-1), off_diagonal(moments).square().sum(dim=(-2, -1))
    diagonal = (single(first) * single(second)).sum(dim=0)
    diagonal = reduce_sum_with_gradient(diagonal) / (total - ddof)
    return diagonal, squared_norm(first, second, ddof=ddof) - diagonal.square().sum(dim=-1)


def _rows_last(x: Tensor) -> Tensor:
    """Return the rows (B, D) as they are, (B, K, D) as (K, B, D)."""
    return x.movedim(0, -2)


def _products(x: Tensor) -> Tensor:
    """Return the products of the rows of this process with all rows, (B, N) or (K, B, N)."""
    rows = single(x)
    return _rows_last(rows) @ _rows_last(gather_with_gradient(rows)).mT


def covariance(x: Tensor, *, ddof: int = 1) -> Tensor:
    """Return the covariance matrix of the columns over all processes.

    Args:
        x: (B, D), not centred.
        ddof: 1 divides by N - 1, the unbiased estimate. 0 divides by N, as batch norms do.

    Returns:
        (D, D), equal on all processes.
    """
    rows = centered(x)
    return second_moment(rows, rows, ddof=ddof)


def standardized(x: Tensor, *, eps: float = 1e-5) -> Tensor:
    """Standardise columns to mean 0 and variance 1 over all processes.

    Equal to a synchronised batch norm without learned parameters: the variance is divided by N.

    Args:
        x: (B, D).
        eps: Added to the variance, >= 0.

    Returns:
        (B, D).
    """
    rows = centered(x)
    variance = reduce_sum_with_gradient(rows.square().sum(dim=0)) / num_rows(rows)
    return rows * (variance + eps).rsqrt()


def off_diagonal(matrix: Tensor) -> Tensor:
    """Return the off-diagonal entries of square matrices.

    Use it for sums of squares. Subtracting the diagonal's squares from those of the whole matrix
    would be a small difference of large numbers.

    Args:
        matrix: (..., D, D).

    Returns:
        (..., D - 1, D), row after row.
    """
    dim = matrix.shape[-1]
    # In rows of D + 1 numbers the diagonal is the first column.
    rows = matrix.flatten(-2)[..., :-1].reshape(*matrix.shape[:-2], dim - 1, dim + 1)
    return rows[..., 1:]
