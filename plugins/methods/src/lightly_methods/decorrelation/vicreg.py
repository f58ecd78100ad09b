"""VICReg: invariance, variance and covariance of embeddings (Bardes et al. 2022, arXiv:2105.04906).

Shapes: B images on this process, P = ``output_dim``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from lightly_core.contracts import Batch, Method, StepResult
from lightly_core.parts.covariance import centered, diagonal_and_rest
from lightly_core.parts.heads import apply_to_views, mlp
from lightly_core.parts.precision import single
from lightly_methods.decorrelation.vicreg_config import VICRegConfig

# Keeps the gradient of the root finite where a dimension is constant; from the authors' code.
EPS = 1e-4


class VICReg(Method[VICRegConfig]):
    """Make the embeddings of two views equal, with variance in each dimension and no correlation.

    Needs neither negatives nor a teacher. Each view is kept from collapse on its own.
    https://arxiv.org/abs/2105.04906
    """

    def build(self) -> None:
        """Create the projector (the paper's expander), which is dropped after training."""
        config = self.config
        hidden = [config.hidden_dim] * (config.num_layers - 1)
        dims = [self.model.feature_dim(), *hidden, config.output_dim]
        self.projector = mlp(dims, norm="batch", last_bias=False)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the three terms of `vicreg_terms` and their weighted sum.

        Args:
            batch: Two views (B, C, H, W).
            step: Not used.
        """
        config = self.config
        pooled = [self.pool(view) for view in batch.views]
        first, second = apply_to_views(self.projector, pooled)  # (B, P) each
        terms = vicreg_terms(first, second)
        loss = terms.weighted(
            config.invariance_weight, config.variance_weight, config.covariance_weight
        )
        return StepResult(
            loss, {f"train_loss/{name}": term.detach() for name, term in terms._asdict().items()}
        )


class VICRegTerms(NamedTuple):
    """The three terms of VICReg, scalars, not weighted.

    Attributes:
        invariance: Mean squared difference of the views.
        variance: How much the standard deviations fall short of 1, mean of the views.
        covariance: Sum of the squared covariances divided by P, summed over the two views. VICRegL
            takes the mean of the views.
    """

    invariance: Tensor
    variance: Tensor
    covariance: Tensor

    def weighted(self, invariance: float, variance: float, covariance: float) -> Tensor:
        """Return the loss: the sum of the terms times their weights (equation 6)."""
        return (
            invariance * self.invariance + variance * self.variance + covariance * self.covariance
        )


def vicreg_terms(first: Tensor, second: Tensor) -> VICRegTerms:
    """Compare the embeddings of two views, and measure variance and covariance of each.

    With std and Cov over the rows of all processes, divided by their number less 1::

        invariance = mean over b, d of (first[b, d] - second[b, d]) ** 2
        variance   = (v(first) + v(second)) / 2,  v(z) = mean over d of max(0, 1 - std_d(z))
        covariance = c(first) + c(second),        c(z) = sum over d != e of Cov_de(z) ** 2 / P

    The variance term is halved as in the authors' code. Some other implementations do not halve it.

    Args:
        first: (B, P), rows of any length.
        second: (B, P), row i belongs to row i of `first`.

    Returns:
        The terms, at least float32. Averaged over processes, as gradients are, they are those of
        all rows.
    """
    variances, covariances = zip(*map(variance_covariance, (first, second)), strict=True)
    return VICRegTerms(
        invariance=F.mse_loss(single(first), single(second)),
        variance=sum(variances) / 2,
        covariance=sum(covariances),
    )


def variance_covariance(z: Tensor) -> tuple[Tensor, Tensor]:
    """Return v(z) and c(z) of `vicreg_terms` for one view (B, P).

    For K independent batches (B, K, P) it returns the mean of both over K.
    """
    rows = centered(z)
    variances, covariances = diagonal_and_rest(rows, rows, ddof=1)
    std = (variances + EPS).sqrt()  # (P,)
    return (1 - std).relu().mean(), (covariances / z.shape[-1]).mean()
