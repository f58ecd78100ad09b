"""Options of NNCLR (Dwibedi et al. 2021, https://arxiv.org/abs/2104.14548)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from attrs import define, evolve, field
from attrs.validators import ge

from lightly_core.config.checks import auto_or, positive
from lightly_core.config.method import MethodCard, MethodConfig, RunFacts
from lightly_core.config.optim import OptimizerArgs
from lightly_core.config.requires import Requires, exactly
from lightly_core.config.transform import TransformArgs
from lightly_core.config.view_presets import byol_views
from lightly_methods.contrastive.options import (
    fit_queue,
    linear_lars,
    linear_sgd,
    transformer_adamw,
)

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing only since Python 3.11

_PAPER_QUEUE = 98_304


@define(frozen=True, kw_only=True)
class NNCLRConfig(MethodConfig):
    """Options of NNCLR; the defaults are the paper's for ResNet-50."""

    metrics: ClassVar[tuple[str, ...] | None] = ("contrast/top1", "queue/cosine")
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Dwibedi et al. 2021",
        arxiv="2104.14548",
        memory="queue",
        use="as simclr, less bound to the augmentation; much data",
    )
    optimizer: ClassVar[str] = "lars"
    # 320 epochs of ImageNet at the paper's batch of 4096.
    target_steps: ClassVar[int] = 100_000
    requires: ClassVar[Requires] = Requires(global_views=exactly(2), images_per_process=2)

    temperature: float = field(
        default=0.1,
        validator=positive,
        metadata={"help": "softmax temperature; smaller weighs hard negatives more"},
    )
    queue_size: int | Literal["auto"] = field(
        default="auto",
        validator=auto_or(ge(1)),
        metadata={
            "help": "earlier images among which neighbours are looked for; auto: the paper's "
            "98304, at most half of the dataset"
        },
    )
    negatives: Literal["predictions", "all"] = field(
        default="predictions",
        metadata={
            "help": "what a neighbour is compared with: the other view's predictions, as in the "
            "paper, or all neighbours and predictions, as NT-Xent does"
        },
    )
    hidden_dim: int = field(
        default=2048,
        validator=ge(1),
        metadata={"help": "width of the projector's hidden layers"},
    )
    output_dim: int = field(
        default=256,
        validator=ge(1),
        metadata={"help": "width of the space in which views are compared"},
    )
    num_layers: int = field(
        default=3, validator=ge(1), metadata={"help": "linear layers of the projector"}
    )
    predictor_hidden_dim: int = field(
        default=4096,
        validator=ge(1),
        metadata={"help": "width of the predictor's hidden layer"},
    )

    def resolve(self, facts: RunFacts) -> Self:
        """Replace the queue's size."""
        size = fit_queue(self.queue_size, facts, _PAPER_QUEUE)
        return evolve(super().resolve(facts), queue_size=size)

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return the paper's two unequal views."""
        return byol_views()

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return learning rate and decay for the optimizer called `name`."""
        if name == "lars":  # the paper's
            return linear_lars(0.3)
        if name == "sgd":
            return linear_sgd(0.1)
        if name == "adamw":
            return transformer_adamw()
        return super().default_optimizer(name)
