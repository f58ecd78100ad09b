"""SwAV: predict the cluster assignment of another view (Caron et al. 2020, arXiv:2006.09882).

Shapes: B images on this process, V views of which G are global, P = ``output_dim``, K prototypes,
Q rows of a queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from lightly_core.contracts import Batch, Method, ParameterGroup, StepResult
from lightly_core.methods.groups import all_decayed
from lightly_core.parts.cosine import unit
from lightly_core.parts.distributed import rank, world_size
from lightly_core.parts.heads import mlp
from lightly_core.parts.multicrop import dino_loss, forward_by_size
from lightly_core.parts.precision import no_autocast
from lightly_core.parts.prototypes import Prototypes, freeze_gradients
from lightly_core.parts.queue import FeatureQueue
from lightly_core.parts.sinkhorn import sinkhorn
from lightly_methods.clustering.swav_config import SwAVConfig


class SwAV(Method[SwAVConfig]):
    """Predict from each view the code of every other global view of the image.

    The code of a view is its soft assignment to prototypes. The codes of a batch use all
    prototypes equally, which prevents a collapse without negatives. A good method for
    convolutional networks, local views and balanced classes. https://arxiv.org/abs/2006.09882

    A batch much smaller than the number of prototypes cannot use all of them equally. A queue for
    each global view then adds the projections of earlier images to the assignment. These are
    compared with the prototypes of the current step and are not predicted. See ``queue_size``.

    Differs from the paper's code: the queues are filled from the first step on and used from
    ``queue_start`` on. All processes hold the same rows, and each assigns a part of them.
    """

    queues: Sequence[FeatureQueue]

    def build(self) -> None:
        """Create the projector and the prototypes, which are dropped after training."""
        config, dim, size = self.config, self.config.output_dim, int(self.config.queue_size)
        self.projector = mlp([self.model.feature_dim(), config.hidden_dim, dim], norm="batch")
        self.prototypes = Prototypes(
            dim, int(config.num_prototypes), normalize="step", init="uniform"
        )
        num_queues = self.context.num_views if size else 0
        queues = nn.ModuleList(FeatureQueue(size, dim) for _ in range(num_queues))
        self.queues = cast("Sequence[FeatureQueue]", queues)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Decay everything, as in the paper's code. LARS then adapts biases and norms too."""
        return all_decayed(self)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the mean cross-entropy of all pairs of a code and another view, in nats.

        Args:
            batch: V views (B, C, H, W), the G global ones first.
            step: Optimizer steps taken so far.
        """
        num_global = len(batch.global_views)
        projections = self._project(batch.views)  # (V, B, P)
        with no_autocast(projections.device):
            cosines = self.prototypes(projections)  # (V, B, K)
        codes = self._codes(cosines[:num_global], step)  # (G, B, K)
        for queue, rows in zip(self.queues, projections, strict=False):
            queue.push(rows)
        # SwAV and DINO have the same loss with different targets.
        loss = dino_loss(codes, cosines, self.config.temperature)
        return StepResult(
            loss,
            {
                "train_loss/cross_entropy": loss.detach(),
                "codes/entropy": torch.special.entr(codes).sum(dim=-1).mean(),
            },
        )

    def before_step(self, step: int) -> None:
        """Freeze the prototypes in the first steps."""
        steps = int(self.config.freeze_prototypes_steps)
        freeze_gradients(self.prototypes, step=step, num_steps=steps)

    def after_step(self, step: int) -> None:
        """Normalise the prototypes to length 1."""
        self.prototypes.normalize_weight()

    def _project(self, views: list[Tensor]) -> Tensor:
        """Return projections of length 1, (V, B, P), at least float32."""
        if self.config.views_together:
            projections = self.projector(torch.cat(forward_by_size(self.pool, views)))
        else:
            projections = torch.cat([self.projector(self.pool(view)) for view in views])
        return unit(projections).reshape(len(views), -1, self.config.output_dim)

    @torch.no_grad()
    def _codes(self, cosines: Tensor, step: int) -> Tensor:
        """Assign each global view together with its queue, (G, B, K) from (G, B, K)."""
        config, batch_size = self.config, cosines.shape[1]
        is_full = all(len(queue) == queue.size for queue in self.queues)
        if self.queues and is_full and step >= int(config.queue_start):
            with no_autocast(cosines.device):
                older = [_part_of_process(queue.rows(cosines.device)) for queue in self.queues]
                scores = self.prototypes(torch.stack(older))  # (G, Q / processes, K)
            cosines = torch.cat([cosines, scores.to(cosines.dtype)], dim=1)
        codes = sinkhorn(cosines, config.epsilon, num_iterations=config.sinkhorn_iterations)
        return codes[:, :batch_size]


class SwAVQueue(SwAV):
    """SwAV with a queue for each global view, which the paper uses for batches of 256."""


def _part_of_process(rows: Tensor) -> Tensor:
    """Return this process's part of rows (Q, P) that all processes hold, so that each counts once.

    The parts differ by at most one row where Q is no multiple of the number of processes.
    """
    return rows.tensor_split(world_size())[rank()]
