"""Options of NNCLR (Dwibedi et al. 2021, https://arxiv.org/abs/2104.14548)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import define, evolve, field

from lightly_core.config.method import (
    MethodCard,
    MethodConfig,
    Requires,
    RunFacts,
    byol_views,
    exactly,
    fit_queue,
    hidden_dim,
    linear_lars,
    linear_sgd,
    num_layers,
    output_dim,
    predictor_hidden_dim,
    queue_size,
    temperature,
    transformer_adamw,
)

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing only since Python 3.11

_PAPER_QUEUE = 98_304


@define(frozen=True, kw_only=True)
class NNCLRConfig(MethodConfig):
    """Options of NNCLR. The defaults are the paper's for ResNet-50."""

    shardable = True

    card = MethodCard(
        paper="Dwibedi et al. 2021",
        arxiv="2104.14548",
        memory="queue",
        use="as simclr, less bound to the augmentation; much data",
    )
    requires = Requires(global_views=exactly(2), images_per_process=2)
    metrics = ("contrast/top1", "queue/cosine")
    views = byol_views()
    optimizer = "lars"
    optimizers = {
        "lars": linear_lars(0.3),  # the paper's
        "sgd": linear_sgd(0.1),
        "adamw": transformer_adamw(),
    }
    target_steps = 100_000  # 320 epochs of ImageNet at the paper's batch of 4096

    temperature: float = temperature(0.1)
    queue_size: int | Literal["auto"] = queue_size(
        "earlier images among which neighbours are searched; auto: the paper's 98304, at most half "
        "of the dataset"
    )
    negatives: Literal["predictions", "all"] = field(
        default="predictions",
        metadata={
            "help": "what a neighbour is compared with: predictions of the other view, as in the "
            "paper; all: neighbours and predictions, as in NT-Xent"
        },
    )
    hidden_dim: int = hidden_dim(2048)
    output_dim: int = output_dim(256)
    num_layers: int = num_layers(3)
    predictor_hidden_dim: int = predictor_hidden_dim(4096)

    def resolve(self, facts: RunFacts) -> Self:
        """Replace the queue's size."""
        size = fit_queue(self.queue_size, facts, _PAPER_QUEUE)
        return evolve(super().resolve(facts), queue_size=size)
