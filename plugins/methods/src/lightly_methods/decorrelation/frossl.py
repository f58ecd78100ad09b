"""FroSSL: invariance and an even spectrum by the Frobenius norm (Skean et al. 2024).

arXiv:2310.02903. Shapes: V views, B images on this process, N on all processes, P = ``output_dim``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightly_core.contracts import Batch, Method, StepResult
from lightly_core.parts.covariance import num_rows, squared_norm, standardized
from lightly_core.parts.heads import apply_to_views, mlp
from lightly_methods.decorrelation.frossl_config import FroSSLConfig


class FroSSL(Method[FroSSLConfig]):
    """Pull views to their mean, and keep the spectrum of each view's covariance even.

    The Frobenius norm keeps all directions in use without a decomposition. It learns fast in short
    runs, and takes any number of views. https://arxiv.org/abs/2310.02903

    Differs from the authors' code:

    - With more than two views, too, columns are normalised and not rows, as in the paper.
    - Statistics are those of all processes.
    """

    def build(self) -> None:
        """Create the projector, which is dropped after training."""
        config = self.config
        hidden = [config.hidden_dim] * (config.num_layers - 1)
        dims = [self.model.feature_dim(), *hidden, config.output_dim]
        self.projector = mlp(dims, norm="batch", last_bias=False)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the two terms of `frossl_terms` and their weighted sum.

        Args:
            batch: V views (B, C, H, W).
            step: Not used.
        """
        pooled = [self.pool(view) for view in batch.views]
        embeddings = torch.stack(apply_to_views(self.projector, pooled))  # (V, B, P)
        spectrum, invariance = frossl_terms(embeddings)
        return StepResult(
            spectrum + self.config.invariance_weight * invariance,
            {
                "train_loss/spectrum": spectrum.detach(),
                "train_loss/invariance": invariance.detach(),
            },
        )


def frossl_terms(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Return how uneven the spectra of the views are, and how far the views are from their mean.

    With Z[v] (N, P) the embeddings of all images, each column normalised to mean 0 and length 1::

        C[v]       = Z[v]^T Z[v] / P, a matrix of trace 1
        spectrum   = sum over v of 2 * log ||C[v]||, the Frobenius norm
        invariance = V / N * sum over v, i, d of (Z[v, i, d] - mean over v of Z[v, i, d]) ** 2

    The loss is ``spectrum + weight * invariance``. For two views `invariance` is the mean squared
    difference of columns of length sqrt(P), as in the authors' code.

    Args:
        embeddings: (V, B, P).

    Returns:
        Both terms, at least float32; averaged over processes they are those of all images.
        `spectrum` is between ``-2 V log(sqrt(P))`` for columns that do not correlate, and 0 where
        all are equal.
    """
    views = torch.stack([standardized(view) for view in embeddings])  # (V, B, P)
    num_views, _, dim = views.shape
    squares = torch.stack([squared_norm(view, view) for view in views])  # (V,)
    # The logarithm of the square is twice that of the norm.
    spectrum = squares.log().sum() - 2 * num_views * math.log(dim)
    deviations = (views - views.mean(dim=0)).square().sum(dim=(0, 2)).mean()
    # Standardised columns have length sqrt(N); this process's mean is one over its own rows.
    return spectrum, num_views * deviations / num_rows(views[0])
