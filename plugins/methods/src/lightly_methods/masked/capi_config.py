"""Options of CAPI (Darcet et al. 2025, https://arxiv.org/abs/2502.08769)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import define, evolve, field
from attrs.validators import ge, optional

from lightly_core.config.method import (
    MethodCard,
    Requires,
    RunFacts,
    TeacherConfig,
    exactly,
    paper_adamw,
    positive,
)
from lightly_methods.masked.options import crop_and_flip, mask_ratio

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing only since Python 3.11

#: Largest dataset for each number of clusters; the last one is the paper's.
_NUM_CLUSTERS = {20_000: 1024, 50_000: 2048, 100_000: 4096, 500_000: 8192}
_MOST_CLUSTERS = 16_384
#: prediction_subsampling in the released default_pretrain_config.yaml, for batches of 16,384.
#: The paper has 0.07.
_RELEASED_FRACTION = 0.05
#: Images in a batch up to which "auto" predicts all of them.
_SMALL_BATCH = 64


@define(frozen=True, kw_only=True)
class CAPIConfig(TeacherConfig):
    """Options of CAPI. The defaults are the paper's where they do not depend on its size."""

    shardable = True

    card = MethodCard(
        paper="Darcet et al. 2025",
        arxiv="2502.08769",
        teacher="average",
        memory="clusters",
        use="features of patches; large sets",
    )
    requires = Requires(global_views=exactly(1), images=2, whole_patches=True)
    metrics = ("train_loss/cross_entropy", "train_loss/clustering")
    views = crop_and_flip(0.6)
    optimizers = {
        "adamw": paper_adamw(1e-3, 16_384, weight_decay=0.1, betas=(0.9, 0.95), warmup_epochs=10),
    }
    target_steps = 100_000  # a fifth of the paper's, which has 16,384 images per step
    spread_is_free = True
    paper_momentum = 0.999

    mask_ratio: float = mask_ratio(0.65, note=", which sees one block")
    predicted_share: float | Literal["auto"] = field(
        default="auto",
        metadata={
            "help": "fraction of the hidden patches that are predicted in a step; auto: all for up "
            "to 64 images in a batch, down to 0.05 in the released configuration"
        },
    )
    num_clusters: int | Literal["auto"] = field(
        default="auto",
        metadata={
            "help": "clusters of patches; auto: 1024 for up to 20,000 images, up to the paper's "
            "16384"
        },
    )
    predictor_dim: int | None = field(
        default=None,
        validator=optional(ge(4)),
        metadata={"help": "dimension of the predictor; None: that of the backbone"},
    )
    predictor_depth: int = field(
        default=12, validator=ge(1), metadata={"help": "blocks of the predictor"}
    )
    predictor_head_dim: int = field(
        default=64, validator=ge(1), metadata={"help": "dimension of an attention head in it"}
    )
    target_temperature: float = field(
        default=0.06,
        validator=positive,
        metadata={"help": "temperature of the assignment of the teacher's patches to clusters"},
    )
    student_temperature: float = field(
        default=0.12,
        validator=positive,
        metadata={"help": "softmax temperature of the student and of the clustering"},
    )
    sinkhorn_iterations: int = field(
        default=3,
        validator=ge(1),
        metadata={"help": "iterations that assign each position's patches to all clusters equally"},
    )
    clustering_lr_factor: float = field(
        default=0.5,
        validator=positive,
        metadata={"help": "factor on the learning rate of the clusters"},
    )

    @predicted_share.validator
    def _predicted_in_range(self, attribute: object, value: float | str) -> None:
        if not isinstance(value, str) and not 0 < value <= 1:
            raise ValueError(f"'predicted_share' must be in (0, 1] or 'auto', got {value}")

    @num_clusters.validator
    def _at_least_two(self, attribute: object, value: int | str) -> None:
        if isinstance(value, int) and value < 2:
            raise ValueError(f"'num_clusters' must be >= 2 or 'auto', got {value}")

    def resolve(self, facts: RunFacts) -> Self:
        """Replace momentum, number of clusters and fraction of predicted patches."""
        clusters, fraction = self.num_clusters, self.predicted_share
        if clusters == "auto":
            fitting = (n for most, n in _NUM_CLUSTERS.items() if facts.dataset_size <= most)
            clusters = next(fitting, _MOST_CLUSTERS)
        if fraction == "auto":
            fraction = min(1.0, max(_RELEASED_FRACTION, _SMALL_BATCH / facts.effective_batch_size))
        resolved = super().resolve(facts)
        return evolve(resolved, num_clusters=clusters, predicted_share=fraction)
