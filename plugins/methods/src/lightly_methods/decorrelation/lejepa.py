"""LeJEPA: predict the mean of views, with normally distributed embeddings.

Balestriero and LeCun 2025, arXiv:2511.08544. Shapes: G global views, V views in all, B images on
this process, P = ``output_dim``, M = ``num_slices``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightly_core.contracts import Batch, Method, StepResult
from lightly_core.parts.heads import mlp
from lightly_core.parts.multicrop import forward_by_size
from lightly_core.parts.precision import single
from lightly_core.parts.sliced import random_slices, sigreg
from lightly_methods.decorrelation.lejepa_config import LeJEPAConfig


class LeJEPA(Method[LeJEPAConfig]):
    """Pull the views of an image together, and keep embeddings normally distributed.

    SIGReg tests along random directions, new ones in each step, whether the embeddings of a view
    over all processes are normally distributed. Nothing else prevents a collapse: no teacher, no
    stopped gradient, no predictor. https://arxiv.org/abs/2511.08544

    The projector sees all views, global and local, as one batch.
    """

    def build(self) -> None:
        """Create the projector, which is dropped after training."""
        config = self.config
        dims = [self.model.feature_dim(), *[config.hidden_dim] * 2, config.output_dim]
        self.projector = mlp(dims, norm="batch", activation=config.activation)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the prediction loss and SIGReg, and their weighted sum.

        Args:
            batch: G global views, then local ones, (B, C, H, W) each.
            step: Decides which directions are tested.
        """
        config = self.config
        features = torch.cat(forward_by_size(self.pool, batch.views))  # (V * B, D)
        embeddings = self.projector(features).unflatten(0, (len(batch.views), -1))  # (V, B, P)
        prediction = prediction_loss(embeddings, len(batch.global_views))
        slices = random_slices(config.num_slices, config.output_dim, step=step, like=embeddings)
        statistic = sigreg(embeddings, slices)
        weight = config.regularization_weight
        return StepResult(
            (1 - weight) * prediction + weight * statistic,
            {"train_loss/prediction": prediction.detach(), "train_loss/sigreg": statistic.detach()},
        )


def prediction_loss(embeddings: Tensor, num_global: int) -> Tensor:
    """Return the mean squared difference of all views from the mean of the global ones.

    ``mean over v, b, p of (z[v, b, p] - mean over u < num_global of z[u, b, p])^2``. Gradient flows
    into both sides.

    Args:
        embeddings: V views of B images, the global views first, (V, B, P).
        num_global: Global views, >= 1.

    Returns:
        Scalar, at least float32; 0 where views of an image are equal.
    """
    views = single(embeddings)
    return (views - views[:num_global].mean(dim=0)).square().mean()
