"""Options of DeepCluster-v2 (Caron et al. 2020, https://arxiv.org/abs/2006.09882)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, evolve, field
from attrs.validators import ge

from lightly_core.config.method import MethodCard, RunFacts, positive
from lightly_methods.clustering.clustering_config import ClusteringConfig, auto_clusters

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing only since Python 3.11


@define(frozen=True, kw_only=True)
class DeepClusterV2Config(ClusteringConfig):
    """Options of DeepCluster-v2. The defaults are the paper's."""

    shardable = True

    card = MethodCard(
        paper="Caron et al. 2020",
        arxiv="2006.09882",
        memory="features of all images",
        use="clusters of the whole data set, for sets that are seen many times",
    )
    metrics = ("train_loss/cross_entropy", "clusters/labelled")

    num_heads: int = field(
        default=3,
        validator=ge(1),
        metadata={"help": "clusterings of different starts and views, whose losses are averaged"},
    )
    kmeans_iterations: int = field(
        default=10, validator=ge(1), metadata={"help": "iterations of k-means after each epoch"}
    )
    epsilon: float = field(
        default=0.05,
        validator=positive,
        metadata={"help": "temperature of the balanced assignment in the first epoch"},
    )
    max_memory_gb: float = field(
        default=2.0,
        validator=positive,
        metadata={
            "help": "most gigabytes that features of all images may take, on the device and in "
            "every checkpoint: images * global views * output_dim * 4 bytes"
        },
    )

    def resolve(self, facts: RunFacts) -> Self:
        """Replace the number of prototypes."""
        resolved = super().resolve(facts)
        if self.num_prototypes != "auto":
            return resolved
        return evolve(resolved, num_prototypes=auto_clusters(facts.dataset_size, 10))

    def needs_building(self) -> bool:
        """Return True: whether the memory is too large is found in `build`."""
        return True
