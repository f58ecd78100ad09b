"""EMP-SSL: many crops of an image in a step, few epochs (Tong et al. 2023, arXiv:2304.03977).

Shapes: V crops, B images on this process, P = ``output_dim``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightly_core.contracts import Batch, Method, StepResult
from lightly_core.parts.coding_rate import coding_rate
from lightly_core.parts.cosine import unit
from lightly_core.parts.heads import mlp
from lightly_core.parts.multicrop import forward_by_size
from lightly_core.parts.precision import no_autocast
from lightly_methods.decorrelation.empssl_config import EMPSSLConfig


class EMPSSL(Method[EMPSSLConfig]):
    """Pull many crops of an image to their mean, and maximise the coding rate of the images.

    Each step sees an image in many crops, so few epochs are enough.
    https://arxiv.org/abs/2304.03977

    Differs from the paper: it evaluates the mean of the features of 128 crops of an image, hidden
    layers of the projector included. Here the backbone is exported and sees the whole image.
    """

    def build(self) -> None:
        """Create the projector, which is dropped after training."""
        config = self.config
        hidden = [config.hidden_dim] * (config.num_layers - 1)
        self.projector = mlp([self.model.feature_dim(), *hidden, config.output_dim], norm="batch")

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the two terms of `emp_terms` and their weighted sum.

        Args:
            batch: V crops (B, C, H, W). Those of one size are one batch for batch norms.
            step: Not used.
        """

        def embed(images: Tensor) -> Tensor:
            embedding: Tensor = self.projector(self.pool(images))
            return embedding

        embeddings = torch.stack(forward_by_size(embed, batch.views))  # (V, B, P)
        distance, rate = emp_terms(embeddings, eps=self.config.coding_rate_eps)
        return StepResult(
            self.config.invariance_weight * distance - rate,
            {"train_loss/distance": distance.detach(), "train_loss/coding_rate": rate.detach()},
        )


def emp_terms(embeddings: Tensor, *, eps: float) -> tuple[Tensor, Tensor]:
    """Return the distance of crops from their image's mean, and the coding rate of the images.

    With z of length 1::

        distance = 1 - mean over v, i of cos(z[v, i], mean over v of z[v, i])
        rate     = mean over v of the coding rate of z[v]

    The loss is ``weight * distance - rate``: the rate is maximised.

    Args:
        embeddings: (V, B, P).
        eps: See `coding_rate`.

    Returns:
        Both, at least float32: the distance of this process's images, in [0, 2], and the rate over
        all processes, in nats.
    """
    rate = torch.stack([coding_rate(view, eps=eps) for view in embeddings]).mean()
    with no_autocast(embeddings.device):
        z = unit(embeddings)
        mean = unit(z.mean(dim=0))  # (B, P)
        distance = 1 - (z * mean).sum(dim=2).mean()
    return distance, rate
