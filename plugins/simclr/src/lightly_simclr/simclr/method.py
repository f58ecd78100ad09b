"""SimCLR as a method of lightly-core."""

from __future__ import annotations

import torch
from torch import Tensor

from lightly_core.contracts import Batch, Method, ModelWrapper, RunContext, StepResult
from lightly_core.methods.inputs import check_batch, pooled_features
from lightly_core.parts.contrast import contrast_views, top1
from lightly_core.parts.heads import mlp
from lightly_simclr.common.views import two_views
from lightly_simclr.simclr.config import SimCLRConfig
from lightly_simclr.simclr.loss import nt_xent


class SimCLR(Method[SimCLRConfig]):
    """Contrast two augmented views of every image in the batch.

    A strong baseline for images with one clear subject. It wants large batches (256 and more):
    other images are its only negatives. https://arxiv.org/abs/2002.05709

    Args:
        config: Options of the method.
        model: Backbone to pretrain; the projector is trained with it, then dropped.
        context: Facts of the run.

    Raises:
        ConfigError: The batch is too small to hold negatives, or for batch norm.
    """

    def __init__(self, config: SimCLRConfig, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context)
        # Batch norm over the two views of one image leaves nothing to compare.
        check_batch(context, self.name, per_process=2 if config.batch_norm else 1)
        hidden = [config.hidden_dim] * (config.num_layers - 1)
        self.projector = mlp(
            [model.feature_dim(), *hidden, config.output_dim],
            norm="batch" if config.batch_norm else None,
            last_norm=config.batch_norm,
        )

    @property
    def name(self) -> str:
        """As users type the method."""
        return type(self).__name__.lower()

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compare the two views of the batch's images.

        Args:
            batch: ``views`` holds two tensors (B, C, H, W).
            step: Not used.

        Returns:
            The loss in nats, and as ``contrast/top1`` the share of rows, in [0, 1], whose nearest
            candidate is the other view of the same image.
        """
        views = two_views(batch, self.name)
        if self.config.views_together:
            first, second = self._project(torch.cat(views)).chunk(2)  # (B, P) each
        else:
            first, second = map(self._project, views)
        logits, pair = contrast_views(first, second, self.config.temperature)
        return StepResult(self.loss(logits, pair), {"contrast/top1": top1(logits, pair)})

    def _project(self, images: Tensor) -> Tensor:
        """Return projections (R, P) of images (R, C, H, W)."""
        projections: Tensor = self.projector(pooled_features(self.model, images))
        return projections

    def loss(self, logits: Tensor, pair: Tensor) -> Tensor:
        """Return NT-Xent of what `contrast_views` returned."""
        return nt_xent(logits, pair)
