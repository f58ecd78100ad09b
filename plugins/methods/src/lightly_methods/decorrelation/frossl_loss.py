"""The loss of FroSSL.

V views, B images on this process, N on all processes, P channels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightly_core.parts.covariance import num_rows, second_moment, standardized
from lightly_core.parts.distributed import gather_with_gradient, reduce_sum_with_gradient
from lightly_core.parts.precision import no_autocast


def frossl_terms(projections: Tensor) -> tuple[Tensor, Tensor]:
    """Return how far the spectra of the views are from even, and how far apart the views are.

    With Z[v] (N, P) the projections of all images, each channel brought to mean 0 and length 1::

        C[v]       = Z[v]^T Z[v] / P, a matrix of trace 1
        spectrum   = sum over v of 2 * log ||C[v]||, Frobenius's norm
        invariance = V / N * sum over v, i, d of (Z[v, i, d] - mean over v of Z[v, i, d]) ** 2

    The loss is ``spectrum + weight * invariance``. For two views `invariance` is the mean squared
    difference of columns of length sqrt(P), as in the authors' code.
    https://arxiv.org/abs/2310.02903

    Args:
        projections: (V, B, P).

    Returns:
        Both terms, at least float32; averaged over processes they are those of all images.
        `spectrum` is between ``-2 V log(sqrt(P))`` for channels that do not correlate, and 0 where
        all are equal.
    """
    views = torch.stack([standardized(view) for view in projections])  # (V, B, P)
    num_views, _, dim = views.shape
    squares = torch.stack([_squared_norm(view) for view in views])  # (V,)
    # The logarithm of the square is twice that of the norm.
    spectrum = squares.log().sum() - 2 * num_views * math.log(dim)
    deviations = (views - views.mean(dim=0)).square().sum(dim=(0, 2)).mean()
    # Standardised columns have length sqrt(N); this process's mean is one over its own rows.
    return spectrum, num_views * deviations / num_rows(views[0])


def _squared_norm(view: Tensor) -> Tensor:
    """Return the squared Frobenius norm of a view's correlations; view (B, P) is standardised.

    Correlations of channels and products of images have the same eigenvalues, so the smaller of
    the two matrices is taken.
    """
    total, dim = num_rows(view), view.shape[1]
    if dim <= total:
        return second_moment(view, view).square().sum()
    with no_autocast(view.device):
        products = view @ gather_with_gradient(view).T / total  # (B, N)
    return reduce_sum_with_gradient(products.square().sum())
