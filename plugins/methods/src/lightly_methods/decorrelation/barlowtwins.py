"""Barlow Twins: make the cross-correlation of two views the identity (Zbontar et al. 2021).

arXiv:2103.03230. Shapes: B images on this process, N on all processes, P = ``output_dim``.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from lightly_core.contracts import Batch, Method, StepResult
from lightly_core.optim.groups import ParameterGroup
from lightly_core.parts.covariance import diagonal_and_rest, standardized
from lightly_core.parts.heads import apply_to_views, mlp
from lightly_methods.decorrelation.barlowtwins_config import BarlowTwinsConfig


class BarlowTwins(Method[BarlowTwinsConfig]):
    """Make each dimension of the embedding agree between two views, and no two be redundant.

    Needs neither negatives nor a teacher, and works with small batches. Wide embeddings are better.
    https://arxiv.org/abs/2103.03230

    Differs from the authors' code: the sum of the correlations over processes has its true gradient
    here. Theirs is smaller by the number of processes, which LARS hides.
    """

    def build(self) -> None:
        """Create the projector, which is dropped after training."""
        config = self.config
        hidden = [config.hidden_dim] * (config.num_layers - 1)
        dims = [self.model.feature_dim(), *hidden, config.output_dim]
        self.projector = mlp(dims, norm="batch", last_bias=False)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Give biases and norms a learning rate of their own."""
        factor = self.config.bias_lr_factor
        return [
            group if group.weight_decay else replace(group, lr_scale=factor)
            for group in super().parameter_groups()
        ]

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the two terms of `barlow_twins_terms` and their weighted sum.

        Args:
            batch: Two views (B, C, H, W).
            step: Not used.
        """
        pooled = [self.pool(view) for view in batch.views]
        first, second = apply_to_views(self.projector, pooled)  # (B, P) each
        diagonal, rest = barlow_twins_terms(first, second)
        return StepResult(
            diagonal + self.config.off_diagonal_weight * rest,
            {"train_loss/diagonal": diagonal.detach(), "train_loss/off_diagonal": rest.detach()},
        )


def barlow_twins_terms(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Compare the cross-correlation of two views with the identity.

    With z the embeddings, each dimension standardised to mean 0 and variance 1 over all N images::

        C[d, e]  = mean over all images i of first z[i, d] * second z[i, e]
        diagonal = sum over d of (1 - C[d, d]) ** 2
        rest     = sum over d != e of C[d, e] ** 2

    The loss is ``diagonal + weight * rest`` (equation 1).

    Args:
        first: Embeddings of the first views, (B, P).
        second: Embeddings of the second views, (B, P), row i from the same image.

    Returns:
        Both terms, equal on all processes, at least float32. `diagonal` is P and `rest` is 0 where
        all embeddings are equal.
    """
    diagonal, rest = diagonal_and_rest(standardized(first), standardized(second))  # (P,), scalar
    return (1 - diagonal).square().sum(), rest
