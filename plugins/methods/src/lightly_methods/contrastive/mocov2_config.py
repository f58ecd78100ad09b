"""Options of MoCo v2 (Chen et al. 2020, https://arxiv.org/abs/2003.04297)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from attrs import define, evolve, field
from attrs.validators import ge

from lightly_core.config.method import (
    MethodCard,
    Requires,
    RunFacts,
    TeacherConfig,
    auto_or,
    exactly,
    exported,
    fit_queue,
    hidden_dim,
    linear_lars,
    linear_sgd,
    moco_views,
    num_layers,
    output_dim,
    queue_size,
    temperature,
    transformer_adamw,
    zero_to_one,
)

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing only since Python 3.11

_PAPER_QUEUE = 65_536
#: The paper has 8 devices with 32 images each. Smaller groups make poor statistics.
_PAPER_GROUPS, _GROUP_IMAGES = 8, 16


@define(frozen=True, kw_only=True)
class MoCoV2Config(TeacherConfig):
    """Options of MoCo v2. The defaults are the paper's for ResNet-50."""

    shardable = True

    card = MethodCard(
        paper="Chen et al. 2020",
        arxiv="2003.04297",
        teacher="average",
        memory="queue",
        use="small batches and much data: negatives come from a queue",
    )
    requires = Requires(global_views=exactly(2), images=2)
    metrics: ClassVar[tuple[str, ...] | None] = ("contrast/top1",)  # DenseCL has more
    views = moco_views()
    optimizer = "sgd"
    optimizers = {
        "sgd": linear_sgd(0.03, warmup_epochs=0),  # the paper's, which has no warm-up
        "lars": linear_lars(0.3),
        "adamw": transformer_adamw(),
    }
    target_steps = 125_000  # a quarter of 100 epochs of ImageNet at the paper's batch of 256
    paper_momentum = 0.999
    # If the teacher changes fast, keys reveal their age instead of their image. The loss is low
    # for a while, then the features collapse. With 0.9 this happened on the digits, see README.md.
    least_momentum = 0.99

    temperature: float = temperature(0.2)
    queue_size: int | Literal["auto"] = queue_size(
        "keys of earlier batches that each query is compared with; auto: the paper's 65536, at "
        "most half of the dataset"
    )
    symmetric: bool = field(
        default=False,
        metadata={
            "help": "contrast each view with the key of the other one, at twice the cost of a "
            "step; false: the first with the key of the second"
        },
    )
    key_groups: int | Literal["auto"] = field(
        default="auto",
        validator=auto_or(ge(1)),
        metadata={
            "help": "random groups in which the key encoder sees a process's images, where the "
            "backbone has batch norm; each has at least two images; auto: 8, fewer for batches "
            "below 128; 1: all at once"
        },
    )
    hidden_dim: int = hidden_dim(2048)
    output_dim: int = output_dim(128, "queries and keys")
    num_layers: int = num_layers(2)
    momentum_end: float = field(
        default=0.999,
        validator=zero_to_one,
        metadata={"help": "momentum towards which it goes until the end; the paper's is constant"},
    )
    export: Literal["teacher", "student"] = exported("student", ": the query encoder")

    def resolve(self, facts: RunFacts) -> Self:
        """Replace the momentum, the queue's size and the number of groups."""
        groups = self.key_groups
        if groups == "auto":
            groups = max(1, min(_PAPER_GROUPS, facts.effective_batch_size // _GROUP_IMAGES))
        size = fit_queue(self.queue_size, facts, _PAPER_QUEUE)
        return evolve(super().resolve(facts), queue_size=size, key_groups=groups)
