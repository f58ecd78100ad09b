"""SwAV as a method of lightly-core.

Shapes: B images on this process, V views of which G are global, D width of the projections,
K prototypes, Q rows of a queue.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightly_core.contracts import Batch, Method, ModelWrapper, RunContext, StepResult
from lightly_core.methods.groups import all_decayed
from lightly_core.methods.inputs import check_batch, global_views, pooled_features
from lightly_core.optim.groups import ParameterGroup
from lightly_core.parts.distributed import rank, world_size
from lightly_core.parts.heads import mlp
from lightly_core.parts.multicrop import dino_loss, forward_by_size
from lightly_core.parts.precision import no_autocast, single
from lightly_core.parts.prototypes import Prototypes, freeze_gradients
from lightly_core.parts.queue import FeatureQueue
from lightly_core.parts.sinkhorn import sinkhorn
from lightly_methods.clustering.swav_config import SwAVConfig


class SwAV(Method[SwAVConfig]):
    """Predict from each view to which prototypes a large view of the same image is assigned.

    The assignment, the code, uses all prototypes equally over the batch, so that no view needs
    negatives and none is alike for all images. https://arxiv.org/abs/2006.09882

    Where a batch is much smaller than the number of prototypes it cannot be spread evenly. A queue
    for each large view then adds the projections of earlier images to the assignment: with the
    prototypes of this step, and only until the codes are known.

    What differs from the paper's code:

    - The queues are filled from the first step on and used from `queue_start` on; they belong to
      all processes together, each scores its part.

    Args:
        config: Options of the method.
        model: Backbone to pretrain; projector and prototypes are dropped in the end.
        context: Facts of the run.

    Raises:
        ConfigError: There is a single view, or the batch is too small.
    """

    def __init__(self, config: SwAVConfig, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context)
        check_batch(context, self.name, per_process=2)
        dim, size = config.output_dim, int(config.queue_size)
        self.projector = mlp([model.feature_dim(), config.hidden_dim, dim], norm="batch")
        self.prototypes = Prototypes(
            dim, int(config.num_prototypes), normalize="step", init="uniform"
        )
        self.queues = nn.ModuleList(
            FeatureQueue(size, dim) for _ in range(context.num_views if size else 0)
        )

    @property
    def name(self) -> str:
        """As users type the method."""
        return type(self).__name__.lower()

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the mean cross-entropy of all pairs of a code and another view, in nats.

        Args:
            batch: V views (B, C, H, W), the G global ones first.
            step: Optimizer steps taken so far.
        """
        num_global = len(global_views(batch, self.context, self.name))
        projections = self._project(batch.views)  # (V, B, D)
        with no_autocast(projections.device):
            cosines = self.prototypes(projections)  # (V, B, K)
        codes = self._codes(cosines[:num_global], step)  # (G, B, K)
        for queue, rows in zip(self._queues(), projections, strict=False):
            queue.push(rows)
        loss = dino_loss(codes, cosines, self.config.temperature)
        return StepResult(
            loss,
            {
                "train_loss/cross_entropy": loss.detach(),
                "codes/entropy": torch.special.entr(codes).sum(dim=-1).mean(),
            },
        )

    def parameter_groups(self) -> list[ParameterGroup]:
        """Decay everything, as in the paper's code: LARS then adapts biases and norms too."""
        return all_decayed(self)

    def before_step(self, step: int) -> None:
        """Keep the prototypes as they are in the beginning."""
        steps = int(self.config.freeze_prototypes_steps)
        freeze_gradients(self.prototypes, step=step, num_steps=steps)

    def after_step(self, step: int) -> None:
        """Bring the prototypes back to length 1."""
        self.prototypes.normalize_weight()

    def _project(self, views: list[Tensor]) -> Tensor:
        """Return projections of length 1, (V, B, D), at least float32."""
        pooled = partial(pooled_features, self.model)
        if self.config.views_together:
            projections = self.projector(torch.cat(forward_by_size(pooled, views)))  # (V * B, D)
        else:
            projections = torch.cat([self.projector(pooled(view)) for view in views])
        with no_autocast(projections.device):
            units = F.normalize(single(projections), dim=1)
        return units.reshape(len(views), -1, units.shape[1])

    @torch.no_grad()
    def _codes(self, cosines: Tensor, step: int) -> Tensor:
        """Assign the global views, each with its queue: (G, B, K) from (G, B, K)."""
        config, batch_size = self.config, cosines.shape[1]
        queues = self._queues()
        if queues and step >= int(config.queue_start) and len(queues[0]) == queues[0].size:
            with no_autocast(cosines.device):
                older = self.prototypes(
                    torch.stack([_own_part(q.rows(cosines.device)) for q in queues])
                )
            cosines = torch.cat([cosines, older.to(cosines.dtype)], dim=1)
        codes = sinkhorn(cosines, config.epsilon, num_iterations=config.sinkhorn_iterations)
        return codes[:, :batch_size]

    def _queues(self) -> list[FeatureQueue]:
        return [queue for queue in self.queues if isinstance(queue, FeatureQueue)]


class SwAVQueue(SwAV):
    """SwAV with a queue for each large view, as the paper has it for batches of 256."""


def _own_part(rows: Tensor) -> Tensor:
    """Return this process's part of rows (Q, D) that all processes hold: each counts once."""
    return rows.tensor_split(world_size())[rank()]
