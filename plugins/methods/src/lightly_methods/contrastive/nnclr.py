"""NNCLR: find the view whose neighbour is given (Dwibedi et al. 2021, arXiv:2104.14548).

Shapes: B images on this process, W processes, P = ``output_dim``.
"""

from __future__ import annotations

import torch.nn.functional as F

from lightly_core.contracts import Batch, Method, StepResult
from lightly_core.parts.contrast import contrast_keys, contrast_views, top1
from lightly_core.parts.cosine import unit
from lightly_core.parts.heads import mlp
from lightly_core.parts.queue import FeatureQueue
from lightly_methods.contrastive.nnclr_config import NNCLRConfig


class NNCLR(Method[NNCLRConfig]):
    """Replace each view by its nearest neighbour and find the prediction for the other view.

    SimCLR in which the first view of a pair is replaced by its nearest neighbour among earlier
    images. Positives then differ by more than augmentation can do. It needs much data.
    https://arxiv.org/abs/2104.14548

    Differs from the paper's code: the queue starts empty, without random rows, and is filled batch
    by batch. In the first step each view is its own neighbour.
    """

    def build(self) -> None:
        """Create projector, predictor and queue."""
        config, dim = self.config, self.config.output_dim
        hidden = [config.hidden_dim] * (config.num_layers - 1)
        self.projector = mlp([self.model.feature_dim(), *hidden, dim], norm="batch", last_norm=True)
        self.predictor = mlp([dim, config.predictor_hidden_dim, dim], norm="batch")
        self.queue = FeatureQueue(int(config.queue_size), dim)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Contrast the neighbours of each view with the predictions of the other one.

        Args:
            batch: Two views (B, C, H, W). Each goes through the networks separately.
            step: Not used.

        Returns:
            The loss in nats. ``contrast/top1`` is the fraction of rows whose nearest candidate is
            the right one. ``queue/cosine`` is the mean cosine of views and their neighbours.
        """
        temperature = self.config.temperature
        projections = [self.projector(self.pool(view)) for view in batch.views]  # (B, P) each
        predictions = [self.predictor(projection) for projection in projections]  # (B, P) each
        rows = [unit(projection.detach()) for projection in projections]  # (B, P) each
        neighbours = [self.queue.nearest(row) for row in rows]  # (B, P) each
        # After the search, or each view would be its own neighbour. Neighbours are copies.
        self.queue.push(rows[0])
        losses, fractions = [], []
        for neighbour, prediction in zip(neighbours, reversed(predictions), strict=True):
            if self.config.negatives == "all":
                logits, target = contrast_views(neighbour, prediction, temperature)  # (2B, 2BW)
            else:
                logits, target = contrast_keys(
                    neighbour, prediction, temperature, key_gradient=True
                )  # (B, BW)
            losses.append(F.cross_entropy(logits, target))
            fractions.append(top1(logits, target))
        cosines = [(row * near).sum(dim=1) for row, near in zip(rows, neighbours, strict=True)]
        return StepResult(
            (losses[0] + losses[1]) / 2,
            {
                "contrast/top1": (fractions[0] + fractions[1]) / 2,
                "queue/cosine": (cosines[0] + cosines[1]).mean() / 2,
            },
        )
