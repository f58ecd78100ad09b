"""Options of MoCo v2 (Chen et al. 2020, https://arxiv.org/abs/2003.04297)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from attrs import define, evolve, field
from attrs.validators import ge

from lightly_core.config.checks import auto_or, positive, share
from lightly_core.config.method import MethodCard, RunFacts
from lightly_core.config.optim import OptimizerArgs
from lightly_core.config.requires import Requires, exactly
from lightly_core.config.teacher import TeacherConfig, exported
from lightly_core.config.transform import TransformArgs
from lightly_core.config.view_presets import moco_views
from lightly_methods.contrastive.options import (
    fit_queue,
    linear_lars,
    linear_sgd,
    transformer_adamw,
)

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing only since Python 3.11

_PAPER_QUEUE = 65_536
#: The paper has 8 devices with 32 images each; smaller groups make poor statistics.
_PAPER_GROUPS, _GROUP_IMAGES = 8, 16


@define(frozen=True, kw_only=True)
class MoCoV2Config(TeacherConfig):
    """Options of MoCo v2; the defaults are the paper's for ResNet-50."""

    metrics: ClassVar[tuple[str, ...] | None] = ("contrast/top1", "schedule/teacher_momentum")
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Chen et al. 2020",
        arxiv="2003.04297",
        teacher="average",
        memory="queue",
        use="small batches and much data: negatives come from a queue",
    )
    optimizer: ClassVar[str] = "sgd"
    # A quarter of 100 epochs of ImageNet, as the paper's batch has 256 images.
    target_steps: ClassVar[int] = 125_000
    requires: ClassVar[Requires] = Requires(global_views=exactly(2), images=2)
    paper_momentum: ClassVar[float] = 0.999
    # Keys of a teacher that moves fast tell their age instead of their image: the loss is low for a
    # while, then the features collapse. With 0.9 this happened on the digits, see README.md.
    least_momentum: ClassVar[float] = 0.99

    temperature: float = field(
        default=0.2,
        validator=positive,
        metadata={"help": "softmax temperature; smaller weighs hard negatives more"},
    )
    queue_size: int | Literal["auto"] = field(
        default="auto",
        validator=auto_or(ge(1)),
        metadata={
            "help": "keys of earlier batches that each query is compared with; auto: the paper's "
            "65536, at most half of the dataset"
        },
    )
    symmetric: bool = field(
        default=False,
        metadata={
            "help": "let each view look for the other one, at twice the cost of a step; else the "
            "first looks for the second"
        },
    )
    key_groups: int | Literal["auto"] = field(
        default="auto",
        validator=auto_or(ge(1)),
        metadata={
            "help": "random groups in which the key encoder sees a process's images, where the "
            "backbone has batch norm; at least two images go into each; auto: 8, fewer for "
            "batches below 128; 1: all at once"
        },
    )
    hidden_dim: int = field(
        default=2048,
        validator=ge(1),
        metadata={"help": "width of the projector's hidden layers"},
    )
    output_dim: int = field(
        default=128,
        validator=ge(1),
        metadata={"help": "width of the space in which queries and keys are compared"},
    )
    num_layers: int = field(
        default=2, validator=ge(1), metadata={"help": "linear layers of the projector"}
    )
    momentum_end: float = field(
        default=0.999,
        validator=share,
        metadata={"help": "momentum towards which it goes until the end; the paper's is constant"},
    )
    export: Literal["teacher", "student"] = exported("student", ": the query encoder")

    def resolve(self, facts: RunFacts) -> Self:
        """Replace the momentum, the queue's size and the number of groups."""
        groups = self.key_groups
        if groups == "auto":
            fitting = facts.effective_batch_size // _GROUP_IMAGES
            groups = max(1, min(_PAPER_GROUPS, fitting))
        size = fit_queue(self.queue_size, facts, _PAPER_QUEUE)
        return evolve(super().resolve(facts), queue_size=size, key_groups=groups)

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return the paper's augmentation, for two views."""
        return moco_views()

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return learning rate and decay for the optimizer called `name`."""
        if name == "sgd":  # the paper's, which has no warm-up
            return linear_sgd(0.03, warmup_epochs=0)
        if name == "lars":
            return linear_lars(0.3)
        if name == "adamw":
            return transformer_adamw()
        return super().default_optimizer(name)
