"""DeepCluster-v2 as a method of lightly-core.

Shapes: B images on this process, V views of which G are global, D width of the projections,
H clusterings of K clusters.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.contracts import Batch, Method, ModelWrapper, RunContext, StepResult
from lightly_core.errors import ConfigError
from lightly_core.methods.groups import all_decayed
from lightly_core.methods.inputs import check_batch, global_views, pooled_features
from lightly_core.optim.groups import ParameterGroup
from lightly_core.parts.heads import mlp
from lightly_core.parts.kmeans import draw_rows, nearest_centroids, spherical_kmeans
from lightly_core.parts.multicrop import forward_by_size
from lightly_core.parts.precision import no_autocast, single
from lightly_core.parts.sinkhorn import sinkhorn
from lightly_methods.clustering.deepclusterv2_config import DeepClusterV2Config
from lightly_methods.clustering.deepclusterv2_loss import cluster_cross_entropy
from lightly_methods.clustering.deepclusterv2_memory import FeatureMemory

_NUMBER_BYTES = 4


class DeepClusterV2(Method[DeepClusterV2Config]):
    """Predict from each view in which cluster its image was found at the end of the last epoch.

    The latest features of all images are remembered. After each epoch, spherical k-means clusters
    them several times; clusters are the classes of the next epoch, their centroids the weights of
    its classifiers. SwAV's paper, https://arxiv.org/abs/2006.09882, appendix D.

    What differs from the paper's code:

    - In the first epoch there is nothing to cluster yet. The paper's code runs all images through
      the untrained network first; here training begins at once, with random centroids and labels
      from the balanced assignment of SwAV within the batch.
    - k-means starts from the centroids of the epoch before, the first time from random images.
    - Centroids are never trained.

    Args:
        config: Options of the method.
        model: Backbone to pretrain; projector and clusters are dropped in the end.
        context: Facts of the run.

    Raises:
        ConfigError: There is a single view, the batch is too small, or the features of all images
            would take too much memory.
    """

    def __init__(
        self, config: DeepClusterV2Config, model: ModelWrapper, context: RunContext
    ) -> None:
        super().__init__(config, model, context)
        check_batch(context, "deepclusterv2", per_process=2)
        _check_memory(config, context)
        dim, num_heads = config.output_dim, config.num_heads
        self.projector = mlp([model.feature_dim(), config.hidden_dim, dim], norm="batch")
        self.memory = FeatureMemory(context.dataset_size, context.num_views, dim, num_heads)
        centroids = torch.randn(num_heads, int(config.num_prototypes), dim)
        self.centroids: Tensor
        self.register_buffer("centroids", F.normalize(centroids, dim=2))  # (H, K, D)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the mean cross-entropy of all views and clusterings, in nats.

        Args:
            batch: V views (B, C, H, W), the G global ones first, and ``indices``.
            step: Optimizer steps taken so far.
        """
        num_global = len(global_views(batch, self.context, "deepclusterv2"))
        projections = self._project(batch.views)  # (V, B, D)
        with no_autocast(projections.device):
            centroids = self.centroids.to(projections.dtype)
            cosines = torch.einsum("vbd,hkd->hvbk", projections, centroids)
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

    def parameter_groups(self) -> list[ParameterGroup]:
        """Decay everything, as in the paper's code: LARS then adapts biases and norms too."""
        return all_decayed(self)

    def after_step(self, step: int) -> None:
        """Cluster all images at the end of an epoch."""
        if step % self.context.steps_per_epoch == 0 and step < self.context.total_steps:
            self._cluster(torch.Generator().manual_seed(step))

    def _project(self, views: list[Tensor]) -> Tensor:
        """Return projections of length 1, (V, B, D), at least float32."""
        pooled = torch.cat(forward_by_size(partial(pooled_features, self.model), views))
        projections = self.projector(pooled)  # (V * B, D)
        with no_autocast(projections.device):
            units = F.normalize(single(projections), dim=1)
        return units.reshape(len(views), -1, units.shape[1])

    @torch.no_grad()
    def _balanced_labels(self, cosines: Tensor) -> Tensor:
        """Assign a batch so that clusters are used equally: (H, B) from (H, G, B, K)."""
        num_global = cosines.shape[1]
        own = [one[head % num_global] for head, one in enumerate(cosines)]  # (B, K) each
        return sinkhorn(torch.stack(own), self.config.epsilon).argmax(dim=2)

    def _cluster(self, generator: torch.Generator) -> None:
        """Find clusters and labels; each clustering looks at one of the global views.

        All processes do this work: their memories are equal.
        """
        config, memory = self.config, self.memory
        is_first = not memory.clustered
        for head, centroids in enumerate(self.centroids):  # (K, D) each
            rows = memory.rows(head % self.context.num_views)
            start = draw_rows(rows, len(centroids), generator) if is_first else centroids
            found = spherical_kmeans(rows, start, num_iterations=config.kmeans_iterations)
            centroids.copy_(found)
            memory.set_labels(head, nearest_centroids(rows, found))


def _check_memory(config: DeepClusterV2Config, context: RunContext) -> None:
    numbers = context.dataset_size * context.num_views * config.output_dim
    needed = numbers * _NUMBER_BYTES / 1e9
    if needed > config.max_memory_gb:
        raise ConfigError(
            f"method 'deepclusterv2' would keep {context.dataset_size} images * "
            f"{context.num_views} views * {config.output_dim} numbers, {needed:.1f} GB, expected "
            f"at most {config.max_memory_gb:g} GB; raise method_args.max_memory_gb if the device "
            "has room, lower method_args.output_dim, or use method 'swav'"
        )
