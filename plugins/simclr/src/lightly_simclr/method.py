"""SimCLR as a method of lightly-core."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lightly_core.errors import ConfigError
from lightly_core.parts.heads import mlp
from lightly_core.protocols import Batch, Method, ModelWrapper, RunContext, StepResult
from lightly_simclr.config import SimCLRConfig
from lightly_simclr.loss import contrast


class SimCLR(Method):
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

    config: SimCLRConfig

    def __init__(self, config: SimCLRConfig, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context)
        _check_batch_size(config, context)
        hidden = [config.hidden_dim] * (config.num_layers - 1)
        self.projector = mlp(
            [model.feature_dim(), *hidden, config.output_dim],
            norm="batch" if config.batch_norm else None,
            last_norm=config.batch_norm,
        )

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute NT-Xent over the two views.

        Args:
            batch: ``views`` holds two tensors (B, C, H, W).
            step: Not used.

        Returns:
            The loss in nats, and as ``contrast/top1`` the share of rows, in [0, 1], whose nearest
            candidate is the other view of the same image.
        """
        images = torch.cat(batch.views)  # (2B, C, H, W)
        features = self.model.forward_pool(self.model.forward_features(images))
        projections = self.projector(features["pooled_features"].flatten(1))  # (2B, P)
        first, second = projections.chunk(2)  # (B, P) each
        logits, pair = contrast(first, second, self.config.temperature)
        top1 = (logits.detach().argmax(dim=1) == pair).float().mean()
        return StepResult(loss=F.cross_entropy(logits, pair), metrics={"contrast/top1": top1})


def _check_batch_size(config: SimCLRConfig, context: RunContext) -> None:
    if context.global_batch_size < 2:
        raise ConfigError(
            f"SimCLR got batch_size={context.global_batch_size}, expected at least 2 (256 and more "
            "work well): an image is compared with the other images of its batch; "
            "set a larger batch_size, or add images if the data has only one"
        )
    if config.batch_norm and context.global_batch_size < 2 * context.world_size:
        raise ConfigError(
            f"SimCLR got batch_size={context.global_batch_size} for {context.world_size} processes,"
            " which is one image for each, expected at least two: batch norm over the two views of "
            "one image leaves nothing to compare; set a larger batch_size, use fewer devices, or "
            "set method_args.batch_norm=false"
        )
