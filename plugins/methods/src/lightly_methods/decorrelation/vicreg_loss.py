"""The loss of VICReg.

B rows on this process, D columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.covariance import covariance, off_diagonal
from lightly_core.parts.precision import single

# Keeps the gradient of the root finite where a column is constant; from the authors' code.
EPS = 1e-4


@dataclass(frozen=True)
class VICRegTerms:
    """The three terms of VICReg, scalars, not weighted.

    Attributes:
        invariance: Mean squared difference of the views.
        variance: By how much deviations fall short of 1, mean of the views.
        covariance: Mean over columns of the squared covariances, sum of the two views, or mean of
            the views in VICRegL.
    """

    invariance: Tensor
    variance: Tensor
    covariance: Tensor

    def weighted(self, invariance: float, variance: float, covariance: float) -> Tensor:
        """Return the loss: the sum of the terms times their weights."""
        return (
            invariance * self.invariance + variance * self.variance + covariance * self.covariance
        )


def vicreg_terms(first: Tensor, second: Tensor) -> VICRegTerms:
    """Compare two views, and look for collapse within each.

    With std and Cov over the rows of all processes, divided by their number less 1::

        invariance = mean over b, d of (first[b, d] - second[b, d]) ** 2
        variance   = (v(first) + v(second)) / 2,  v(z) = mean over d of max(0, 1 - std_d(z))
        covariance = c(first) + c(second),        c(z) = sum over d != e of Cov_de(z) ** 2 / D

    https://arxiv.org/abs/2105.04906. The authors' code halves the variance term, and some others do
    not.

    Args:
        first: (B, D), rows of any length.
        second: (B, D), row i belongs to row i of `first`.

    Returns:
        The terms, at least float32. Averaged over processes, as gradients are, they are those of
        all rows.
    """
    variances, covariances = zip(*map(spread_terms, (first, second)), strict=True)
    return VICRegTerms(
        invariance=F.mse_loss(single(first), single(second)),
        variance=sum(variances) / 2,
        covariance=sum(covariances),
    )


def spread_terms(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return v(z) and c(z) of `vicreg_terms` for one view (B, D)."""
    moments = covariance(x)  # (D, D)
    std = (moments.diagonal() + EPS).sqrt()
    return (1 - std).relu().mean(), off_diagonal(moments).square().sum() / len(moments)
