"""VISReg: LeJEPA with terms for scale, shape and centre of embeddings (Wu et al. 2026).

arXiv:2606.02572. Shapes: G global views, V views in all, B images on this process, N on all
processes, P = ``output_dim``, M = ``num_slices``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lightly_core.contracts import Batch, Method, StepResult
from lightly_core.parts.distributed import gather_with_gradient
from lightly_core.parts.heads import mlp
from lightly_core.parts.multicrop import forward_by_size
from lightly_core.parts.precision import single
from lightly_core.parts.sliced import random_slices, sliced_wasserstein
from lightly_methods.decorrelation.lejepa import prediction_loss
from lightly_methods.decorrelation.visreg_config import VISRegConfig

# Added to the standard deviation that embeddings are divided by.
_EPS = 1e-4


class VISReg(Method[VISRegConfig]):
    """LeJEPA with a term each for the scale, the shape and the centre of the embeddings.

    LeJEPA's test has hardly a gradient where embeddings have collapsed. The term on their standard
    deviations has one. The shape is compared by sorting along random directions.
    https://arxiv.org/abs/2606.02572

    Differs from the paper's code:

    - Quantiles have variance 1, as the embeddings that are compared with them. Those of a small
      batch are otherwise so close together that the shape term pulls all images to one point, as
      with 8 images.
    - Statistics and sorting are over the images of all processes, which share the directions among
      them, so that a run does not depend on the number of processes.
    """

    def build(self) -> None:
        """Create the projector, which is dropped after training."""
        config = self.config
        dims = [self.model.feature_dim(), *[config.hidden_dim] * 2, config.output_dim]
        self.projector = mlp(dims, norm="batch", activation=config.activation)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the prediction loss and `visreg_terms`, and their weighted sum.

        Args:
            batch: G global views, then local ones, (B, C, H, W) each.
            step: Decides along which directions embeddings are sorted.
        """
        config = self.config
        features = torch.cat(forward_by_size(self.pool, batch.views))  # (V * B, D)
        embeddings = self.projector(features).unflatten(0, (len(batch.views), -1))  # (V, B, P)
        prediction = prediction_loss(embeddings, len(batch.global_views))
        slices = random_slices(config.num_slices, config.output_dim, step=step, like=embeddings)
        terms = visreg_terms(embeddings, slices)
        regularization = (
            config.scale_weight * terms.scale
            + config.shape_weight * terms.shape
            + config.centre_weight * terms.centre
        )
        weight = config.regularization_weight
        return StepResult(
            (1 - weight) * prediction + weight * regularization,
            {
                "train_loss/prediction": prediction.detach(),
                "train_loss/scale": terms.scale.detach(),
                "train_loss/shape": terms.shape.detach(),
                "train_loss/centre": terms.centre.detach(),
            },
        )


class VISRegTerms(NamedTuple):
    """The three terms that prevent a collapse, scalars.

    Attributes:
        scale: ``mean over v and p of (1 - deviation[v, p])^2``; its gradient does not vanish where
            embeddings collapse.
        shape: `sliced_wasserstein` of the standardised embeddings. No gradient flows through the
            deviations that they are divided by, so that the scale is left to the first term.
        centre: ``mean over v and p of mean[v, p]^2``.
    """

    scale: Tensor
    shape: Tensor
    centre: Tensor


def visreg_terms(embeddings: Tensor, slices: Tensor) -> VISRegTerms:
    """Measure how far embeddings are from a normal distribution, each view on its own.

    Args:
        embeddings: (V, B, P), B the same on all processes.
        slices: From `lightly_core.parts.sliced.random_slices`, (M, P), the same on all processes.

    Returns:
        The terms over the images of all processes, at least float32.
    """
    rows = gather_with_gradient(single(embeddings).transpose(0, 1)).transpose(0, 1)  # (V, N, P)
    mean = rows.mean(dim=1, keepdim=True)
    deviation = rows.std(dim=1, correction=0, keepdim=True)
    standardised = (rows - mean) / (deviation.detach() + _EPS)
    return VISRegTerms(
        scale=(1 - deviation).square().mean(),
        shape=sliced_wasserstein(standardised, slices),
        centre=mean.square().mean(),
    )
