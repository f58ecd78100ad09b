"""Options of SwAV (Caron et al. 2020, https://arxiv.org/abs/2006.09882)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import define, evolve, field
from attrs.validators import ge

from lightly_core.config.method import MethodCard, RunFacts, auto_or, positive, sinkhorn_iterations
from lightly_core.config.options.short_runs import SmallRecipe
from lightly_core.parts.schedules import capped_warmup
from lightly_methods.clustering.clustering_config import ClusteringConfig, auto_clusters

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing only since Python 3.11

# Largest fractions of a run in which prototypes are frozen, and in which the queue is not used.
_FREEZE_FRACTION, _QUEUE_FRACTION = 0.05, 0.1
_FREEZE_STEPS = 5005  # one epoch of ImageNet at the paper's batch of 256
_QUEUE_EPOCHS = 15
_QUEUE_SIZE = 3840


@define(frozen=True, kw_only=True)
class SwAVConfig(ClusteringConfig):
    """Options of SwAV. The defaults are the paper's."""

    shardable = True

    card = MethodCard(
        paper="Caron et al. 2020",
        arxiv="2006.09882",
        use="convolutional networks and local views; balanced classes",
    )
    metrics = ("train_loss/cross_entropy", "codes/entropy")
    small = SmallRecipe(method_args={"hidden_dim": 512, "output_dim": 64, "epsilon": 0.03})

    epsilon: float = field(
        default=0.05,
        validator=positive,
        metadata={
            "help": "temperature of the balanced assignment; lower it, to 0.03 or 0.02, where the "
            "loss stays at the logarithm of num_prototypes"
        },
    )
    sinkhorn_iterations: int = sinkhorn_iterations(3)
    # The authors' forward concatenates crops of one size, and all crops before the projector.
    views_together: bool = field(
        default=True,
        metadata={
            "help": "run crops of one size in one pass and all crops through the projector at "
            "once, so that batch norms see them as one batch, as in the authors' code; false: one "
            "pass for each crop, as in Lightly SSL"
        },
    )
    freeze_prototypes_steps: int | Literal["auto"] = field(
        default="auto",
        validator=auto_or(ge(0)),
        metadata={
            "help": "first steps in which the prototypes are frozen; auto: those of an epoch, at "
            "most 5005 and 5 % of the run"
        },
    )
    queue_size: int | Literal["auto"] = field(
        default=0,
        validator=auto_or(ge(0)),
        metadata={
            "help": "earlier images that take part in the assignment, for batches much smaller "
            "than the number of prototypes; 0: none; auto: 3840, at most a tenth of the images, at "
            "least one batch"
        },
    )
    queue_start: int | Literal["auto"] = field(
        default="auto",
        validator=auto_or(ge(0)),
        metadata={
            "help": "step from which the queue is used, once it is full; auto: that of the 15th "
            "epoch, after at most 10 % of the run"
        },
    )

    def resolve(self, facts: RunFacts) -> Self:
        """Replace what depends on the number of images and on the length of the run."""
        prototypes, freeze = self.num_prototypes, self.freeze_prototypes_steps
        size, start = self.queue_size, self.queue_start
        epoch, total = facts.steps_per_epoch, facts.total_steps
        if prototypes == "auto":
            prototypes = auto_clusters(facts.dataset_size, 10)
        if freeze == "auto":
            freeze = capped_warmup(min(epoch, _FREEZE_STEPS), total, _FREEZE_FRACTION)
        if size == "auto":
            size = max(min(_QUEUE_SIZE, facts.dataset_size // 10), facts.effective_batch_size)
        if start == "auto":
            start = capped_warmup(_QUEUE_EPOCHS * epoch, total, _QUEUE_FRACTION)
        return evolve(
            super().resolve(facts),
            num_prototypes=prototypes,
            freeze_prototypes_steps=freeze,
            queue_size=size,
            queue_start=start,
        )


@define(frozen=True, kw_only=True)
class SwAVQueueConfig(SwAVConfig):
    """Options of SwAV with the queue that the paper uses for batches of 256."""

    shardable = True

    card = MethodCard(
        paper="Caron et al. 2020",
        arxiv="2006.09882",
        memory="queue",
        use="SwAV for batches of some hundred images",
    )

    queue_size: int | Literal["auto"] = field(
        default="auto",
        validator=auto_or(ge(0)),
        metadata={
            "help": "earlier images that take part in the assignment; 0: none; auto: 3840, at most "
            "a tenth of the images, at least one batch"
        },
    )
