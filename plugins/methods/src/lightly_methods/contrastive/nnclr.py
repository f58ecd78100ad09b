"""NNCLR as a method of lightly-core."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from lightly_core.contracts import Batch, Method, ModelWrapper, RunContext, StepResult
from lightly_core.methods.inputs import check_batch, pooled_features
from lightly_core.parts.contrast import contrast_keys, contrast_views, top1, unit
from lightly_core.parts.heads import mlp
from lightly_core.parts.queue import FeatureQueue
from lightly_methods.contrastive.nnclr_config import NNCLRConfig
from lightly_methods.contrastive.views import two_views


class NNCLR(Method[NNCLRConfig]):
    """Find the prediction for an image's other view, starting from its nearest neighbour.

    SimCLR in which a view's place is taken by its neighbour among earlier images, so that positives
    differ by more than augmentation can do. https://arxiv.org/abs/2104.14548

    What differs from the paper's code: the queue starts empty, without random rows, and is filled
    batch by batch. In the first step, with nothing in it, each view is its own neighbour.

    Args:
        config: Options of the method.
        model: Backbone to pretrain; projector and predictor are trained with it, then dropped.
        context: Facts of the run.

    Raises:
        ConfigError: The batch is too small for batch norm, or there are not two views.
    """

    def __init__(self, config: NNCLRConfig, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context)
        check_batch(context, "nnclr", per_process=2)
        hidden = [config.hidden_dim] * (config.num_layers - 1)
        self.projector = mlp(
            [model.feature_dim(), *hidden, config.output_dim], norm="batch", last_norm=True
        )
        self.predictor = mlp(
            [config.output_dim, config.predictor_hidden_dim, config.output_dim], norm="batch"
        )
        self.queue = FeatureQueue(int(config.queue_size), config.output_dim)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compare the neighbours of each view with the predictions of the other one.

        Args:
            batch: ``views`` holds two tensors (B, C, H, W).
            step: Not used.

        Returns:
            The loss in nats. As ``contrast/top1`` the share of rows, in [0, 1], that find the
            right one. As ``queue/cosine`` how similar neighbours are to the views whose place they
            take.
        """
        views = two_views(batch, "nnclr")
        # One pass a view: batch norms do not see the two views of an image together.
        projections = [self.projector(pooled_features(self.model, view)) for view in views]
        predictions = [self.predictor(projection) for projection in projections]  # (B, P) each
        rows = [unit(projection.detach()) for projection in projections]  # (B, P) each
        neighbours = [self.queue.nearest(row) for row in rows]  # (B, P) each
        # Only now, or each would be its own neighbour; these are copies and do not change.
        self.queue.push(rows[0])
        found = [
            self._contrast(neighbour, prediction)
            for neighbour, prediction in zip(neighbours, reversed(predictions), strict=True)
        ]
        losses = [F.cross_entropy(*logits) for logits in found]
        shares = [top1(*logits) for logits in found]
        cosines = [(row * near).sum(dim=1) for row, near in zip(rows, neighbours, strict=True)]
        return StepResult(
            (losses[0] + losses[1]) / 2,
            {
                "contrast/top1": (shares[0] + shares[1]) / 2,
                "queue/cosine": (cosines[0] + cosines[1]).mean() / 2,
            },
        )

    def _contrast(self, neighbours: Tensor, predictions: Tensor) -> tuple[Tensor, Tensor]:
        """Compare neighbours (B, P) of one view with predictions (B, P) of the other."""
        temperature = self.config.temperature
        if self.config.negatives == "all":
            return contrast_views(neighbours, predictions, temperature)
        return contrast_keys(neighbours, predictions, temperature, key_gradient=True)
