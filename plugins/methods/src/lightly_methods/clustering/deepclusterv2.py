"""DeepCluster-v2: predict the cluster of an image (Caron et al. 2020, arXiv:2006.09882).

Shapes: B images on this process, V views of which G are global, P = ``output_dim``, H clusterings
of K clusters.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.contracts import Batch, Method, ParameterGroup, StepResult
from lightly_core.errors import ConfigError
from lightly_core.methods.groups import all_decayed
from lightly_core.parts.cosine import unit
from lightly_core.parts.distributed import reduce_sum_with_gradient, world_size
from lightly_core.parts.heads import mlp
from lightly_core.parts.kmeans import nearest_centroids, sample_rows, spherical_kmeans
from lightly_core.parts.multicrop import forward_by_size
from lightly_core.parts.precision import no_autocast, single
from lightly_core.parts.sinkhorn import sinkhorn
from lightly_methods.clustering.deepclusterv2_config import DeepClusterV2Config
from lightly_methods.clustering.deepclusterv2_memory import FeatureMemory

_BYTES_PER_NUMBER = 4


class DeepClusterV2(Method[DeepClusterV2Config]):
    """Predict from each view the cluster of its image.

    The latest projections of all images are kept. After each epoch, spherical k-means clusters
    them several times. The clusters are the classes of the next epoch, and their centroids are the
    weights of its classifiers. Use it where the data is seen in many epochs. SwAV's paper,
    https://arxiv.org/abs/2006.09882, appendix D.

    Differs from the paper's code:

    - In the first epoch, centroids are random and labels come from SwAV's balanced assignment
      within the batch. The paper's code first runs all images through the untrained network.
    - k-means starts from the centroids of the epoch before, the first time from random images.
    - Centroids are never trained.
    """

    def build(self) -> None:
        """Create projector, memory and centroids, which are dropped after training."""
        self._check_memory()
        config, context, dim = self.config, self.context, self.config.output_dim
        self.projector = mlp([self.model.feature_dim(), config.hidden_dim, dim], norm="batch")
        self.memory = FeatureMemory(context.dataset_size, context.num_views, dim, config.num_heads)
        centroids = torch.randn(config.num_heads, int(config.num_prototypes), dim)
        self.centroids: Tensor
        self.register_buffer("centroids", F.normalize(centroids, dim=2))  # (H, K, P)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Decay everything, as in the paper's code. LARS then adapts biases and norms too."""
        return all_decayed(self)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the mean cross-entropy of all views and clusterings, in nats.

        Args:
            batch: V views (B, C, H, W), the G global ones first, and ``indices``.
            step: Not used.

        Returns:
            The loss. ``clusters/labelled`` is the fraction of images that have a cluster.
        """
        num_views, num_global = len(batch.views), len(batch.global_views)
        pooled = torch.cat(forward_by_size(self.pool, batch.views))  # (V * B, D)
        projections = unit(self.projector(pooled))  # (V * B, P)
        projections = projections.reshape(num_views, -1, self.config.output_dim)  # (V, B, P)
        with no_autocast(projections.device):
            centroids = self.centroids.to(projections.dtype)
            cosines = torch.einsum("vbp,hkp->hvbk", projections, centroids)
        if self.memory.clustered:
            labels = self.memory.labels_of(batch.indices, cosines.device)  # (H, B)
        else:
            labels = self._balanced_labels(cosines[:, :num_global])
        self.memory.write(batch.indices, projections[:num_global])
        loss = cluster_cross_entropy(cosines, labels, self.config.temperature)
        return StepResult(
            loss,
            {
                "train_loss/cross_entropy": loss.detach(),
                "clusters/labelled": (labels >= 0).to(loss.dtype).mean(),
            },
        )

    def after_step(self, step: int) -> None:
        """Cluster all images at the end of an epoch."""
        if step % self.context.steps_per_epoch == 0 and step < self.context.total_steps:
            self._cluster(torch.Generator().manual_seed(step))

    @torch.no_grad()
    def _balanced_labels(self, cosines: Tensor) -> Tensor:
        """Assign a batch so that clusters are used equally: (H, B) from (H, G, B, K)."""
        num_global = cosines.shape[1]
        own = [one[head % num_global] for head, one in enumerate(cosines)]  # (B, K) each
        return sinkhorn(torch.stack(own), self.config.epsilon).argmax(dim=2)

    def _cluster(self, generator: torch.Generator) -> None:
        """Update centroids and labels; each clustering uses one of the global views.

        All processes do this work. Their memories are equal.
        """
        memory, is_first = self.memory, not self.memory.clustered
        for head, centroids in enumerate(self.centroids):  # (K, P) each
            rows = memory.rows(head % self.context.num_views)
            start = sample_rows(rows, len(centroids), generator) if is_first else centroids
            found = spherical_kmeans(rows, start, num_iterations=self.config.kmeans_iterations)
            centroids.copy_(found)
            memory.set_labels(head, nearest_centroids(rows, found))

    def _check_memory(self) -> None:
        config, images, views = self.config, self.context.dataset_size, self.context.num_views
        needed = images * views * config.output_dim * _BYTES_PER_NUMBER / 1e9
        if needed > config.max_memory_gb:
            raise ConfigError(
                f"method '{self.name}' would keep {images} images * {views} views * "
                f"{config.output_dim} numbers, {needed:.1f} GB, expected at most "
                f"{config.max_memory_gb:g} GB; raise method_args.max_memory_gb if the device has "
                "room, lower method_args.output_dim, or use method 'swav'"
            )


def cluster_cross_entropy(cosines: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return the mean cross-entropy of all views with the cluster of their image.

    Images without a cluster are skipped. The mean is over the images with a cluster of all
    processes.

    Args:
        cosines: Of views and centroids, (H, V, B, K).
        labels: (H, B) int64; -1: the image has no cluster.
        temperature: Divisor of the cosines, > 0.

    Returns:
        Scalar in nats, at least float32; log(K) for equal cosines, 0 where no image has a cluster.
    """
    num_views = cosines.shape[1]
    with no_autocast(cosines.device):
        logits = (single(cosines) / temperature).flatten(0, 2)  # (H * V * B, K)
        every_label = labels[:, None].expand(-1, num_views, -1).flatten()  # (H * V * B,)
        total = F.cross_entropy(logits, every_label, ignore_index=-1, reduction="sum")
        count = reduce_sum_with_gradient((labels >= 0).sum()) * num_views
        return world_size() * total / count.clamp(min=1)
