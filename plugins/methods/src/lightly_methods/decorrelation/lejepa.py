"""LeJEPA as a method of lightly-core."""

from __future__ import annotations

import torch
from torch import Tensor

from lightly_core.contracts import Batch, Method, ModelWrapper, RunContext, StepResult
from lightly_core.methods.inputs import check_batch, global_views, pooled_features
from lightly_core.parts.heads import mlp
from lightly_core.parts.multicrop import forward_by_size
from lightly_core.parts.sliced import random_slices, sigreg
from lightly_methods.decorrelation.lejepa_config import LeJEPAConfig
from lightly_methods.decorrelation.lejepa_loss import distance_to_centre


class LeJEPA(Method[LeJEPAConfig]):
    """Bring views of an image together while the images of a batch stay normally distributed.

    That embeddings are normal is tested along random directions, new ones in each step, in each
    view of the batch and over all processes. Nothing else keeps them from collapsing: no teacher,
    no stopped gradient, no predictor. https://arxiv.org/abs/2511.08544

    The projector sees all views, large and small, as one batch.

    Args:
        config: Options of the method.
        model: Backbone to pretrain; the projector is trained with it, then dropped.
        context: Facts of the run.

    Raises:
        ConfigError: The batch holds one image only.
    """

    def __init__(self, config: LeJEPAConfig, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context)
        check_batch(context, self.name)
        dims = [model.feature_dim(), config.hidden_dim, config.hidden_dim, config.output_dim]
        self.projector = mlp(dims, norm="batch", activation=config.activation)

    @property
    def name(self) -> str:
        """As users type the method."""
        return type(self).__name__.lower()

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the loss of one step.

        Args:
            batch: The large views, then the small ones.
            step: Says which directions are tested.

        Returns:
            The weighted sum of distance between views and of what `regularization` returns.
        """
        num_global = len(global_views(batch, self.context, self.name))
        embeddings = self._project(batch.views)  # (V, B, P)
        distance = distance_to_centre(embeddings, num_global)
        slices = random_slices(
            self.config.num_slices, embeddings.shape[2], step=step, like=embeddings
        )
        regularization, parts = self.regularization(embeddings, slices)
        weight = self.config.regularization_weight
        parts = {"prediction": distance, **parts}
        return StepResult(
            (1 - weight) * distance + weight * regularization,
            {f"train_loss/{name}": part.detach() for name, part in parts.items()},
        )

    def regularization(
        self, embeddings: Tensor, slices: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what keeps the embeddings (V, B, P) apart, and its parts by name."""
        statistic = sigreg(embeddings, slices)
        return statistic, {"sigreg": statistic}

    def _project(self, views: list[Tensor]) -> Tensor:
        """Return the embeddings of views (B, C, H, W) as one tensor (V, B, P)."""
        features = forward_by_size(lambda images: pooled_features(self.model, images), views)
        embeddings: Tensor = self.projector(torch.cat(features))  # (V * B, P)
        return embeddings.reshape(len(views), -1, embeddings.shape[1])
