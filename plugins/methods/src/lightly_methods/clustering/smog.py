"""SMoG: contrast images with groups that move in each step (Pang et al. 2022, arXiv:2207.06167).

Shapes: B images on this process, V views of which G are global, P = ``output_dim``, K groups.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.contracts import Batch, StepResult
from lightly_core.methods.teacher import TeacherMethod
from lightly_core.parts.cosine import unit
from lightly_core.parts.distributed import reduce_sum_with_gradient
from lightly_core.parts.heads import mlp
from lightly_core.parts.kmeans import nearest_centroids, sample_rows, spherical_kmeans
from lightly_core.parts.multicrop import dino_loss, forward_by_size
from lightly_core.parts.precision import no_autocast, single
from lightly_core.parts.queue import FeatureQueue
from lightly_methods.clustering.smog_config import SMoGConfig


class SMoG(TeacherMethod[SMoGConfig]):
    """Predict to which group of images the teacher assigns another view.

    The groups are moving averages of the student's projections. They are updated before the loss
    is computed, so that the loss trains the projections also through the groups. K-means replaces
    them every ``reset_interval`` steps, so that no group stays empty. Use it instead of contrast
    with single images. https://arxiv.org/abs/2207.06167

    The student is backbone, projector and predictor. The teacher is an EMA of backbone and
    projector. ``groups/used`` is the fraction of groups that the batch is assigned to.

    Differs from other code:

    - All pairs of a teacher's view and another view of the student count in each step. Elsewhere
      it is one pair, and the views are swapped every other step.
    - Groups are averages of vectors of length 1, and are normalised to length 1.
    - The teacher is not set to the student when k-means replaces the groups.
    """

    def build(self) -> None:
        """Create heads, bank and groups, which are dropped after training, and the teacher."""
        config, dim = self.config, self.config.output_dim
        self.projector = mlp(
            [self.model.feature_dim(), config.hidden_dim, dim], norm="batch", last_norm="no_affine"
        )
        self.predictor = mlp([dim, config.hidden_dim, dim], norm="batch")
        self.add_teacher("projector", batch_norm="own_statistics")
        self.bank = FeatureQueue(int(config.bank_size), dim)
        self.groups: Tensor
        groups = torch.randn(int(config.num_groups), dim)
        self.register_buffer("groups", F.normalize(groups, dim=1))  # (K, P)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the mean cross-entropy of all pairs of different views, in nats.

        Args:
            batch: V views (B, C, H, W), the G global ones first.
            step: Not used.
        """
        num_views, num_global = len(batch.views), len(batch.global_views)
        num_groups, dim = self.groups.shape
        with torch.no_grad():
            pooled = torch.cat(forward_by_size(self.teacher.pool, batch.global_views))
            targets = unit(self.teacher["projector"](pooled))  # (G * B, P)
            assigned = nearest_centroids(targets, self.groups)  # (G * B,)
        pooled = torch.cat(forward_by_size(self.pool, batch.views))
        projections = self.projector(pooled)  # (V * B, P)
        vectors = unit(projections)[: len(targets)]  # (G * B, P), of the global views
        groups = updated_groups(self.groups, vectors, self.config.group_momentum)  # (K, P)
        self._keep(groups, vectors.reshape(num_global, -1, dim))
        predictions = unit(self.predictor(projections))  # (V * B, P)
        with no_autocast(predictions.device):
            cosines = predictions @ groups.T  # (V * B, K)
        one_hot = F.one_hot(assigned, num_groups).to(cosines.dtype)  # (G * B, K)
        loss = dino_loss(
            one_hot.reshape(num_global, -1, num_groups),  # (G, B, K)
            cosines.reshape(num_views, -1, num_groups),  # (V, B, K)
            self.config.temperature,
        )
        return StepResult(
            loss,
            {
                "train_loss/cross_entropy": loss.detach(),
                "groups/used": one_hot.amax(dim=0).mean(),
            },
        )

    def after_step(self, step: int) -> None:
        """Update the teacher, and replace the groups every ``reset_interval`` steps."""
        super().after_step(step)
        interval = self.config.reset_interval
        if interval and step % interval == 0 and len(self.bank) >= len(self.groups):
            rows = self.bank.rows()
            # The same numbers on all processes, whose banks are equal.
            generator = torch.Generator().manual_seed(step)
            start = sample_rows(rows, len(self.groups), generator)
            iterations = self.config.kmeans_iterations
            self.groups.copy_(spherical_kmeans(rows, start, num_iterations=iterations))

    @torch.no_grad()
    def _keep(self, groups: Tensor, projections: Tensor) -> None:
        """Store groups (K, P), and projections (G, B, P) for k-means."""
        self.groups.copy_(groups)
        # View by view: the bank has then the same order for any number of processes.
        for rows in projections:
            self.bank.push(rows)


def updated_groups(groups: Tensor, vectors: Tensor, momentum: float) -> Tensor:
    """Move each group towards the mean of the vectors that are nearest to it.

    The plain form::

        for k in range(K):
            own = [v for v in vectors of all processes if argmax(groups @ v) == k]
            if own:
                groups[k] = normalize(momentum * groups[k] + (1 - momentum) * mean(own))

    A gradient flows into the vectors of this step, through the new part, and not into those of
    earlier steps. This makes the grouping synchronous, https://arxiv.org/abs/2207.06167.

    Args:
        groups: (K, P) of length 1, no gradient; not changed.
        vectors: Of this process, (R, P), of length 1.
        momentum: In [0, 1]; 1 changes nothing.

    Returns:
        (K, P), at least float32, equal on all processes.
    """
    groups = groups.detach()
    with no_autocast(vectors.device):
        vectors = single(vectors)
        nearest = nearest_centroids(vectors, groups)  # (R,)
        members = F.one_hot(nearest, len(groups)).to(vectors.dtype)  # (R, K)
        counts = reduce_sum_with_gradient(members.sum(dim=0))[:, None]  # (K, 1)
        means = reduce_sum_with_gradient(members.T @ vectors) / counts.clamp(min=1)  # (K, P)
        moved = F.normalize(momentum * groups + (1 - momentum) * means, dim=1)
        return torch.where(counts > 0, moved, groups.to(moved.dtype))
