"""Options of SimCLR (Chen et al. 2020, https://arxiv.org/abs/2002.05709)."""

from __future__ import annotations

from typing import ClassVar

from attrs import define, field
from attrs.validators import ge

from lightly_core.config.checks import positive
from lightly_core.config.method import MethodCard, MethodConfig
from lightly_core.config.optim import OptimizerArgs
from lightly_core.config.requires import Requires, exactly
from lightly_core.config.transform import TransformArgs
from lightly_core.config.view_presets import simclr_views
from lightly_simclr.common.options import linear_lars, linear_sgd, transformer_adamw


@define(frozen=True, kw_only=True)
class SimCLRConfig(MethodConfig):
    """Options of SimCLR; the defaults are meant for photographs and batches of a few hundred."""

    metrics: ClassVar[tuple[str, ...] | None] = ("contrast/top1",)
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Chen et al. 2020",
        arxiv="2002.05709",
        use="no teacher is wanted; large batches",
    )
    optimizer: ClassVar[str] = "sgd"
    # 320 epochs of the paper's ImageNet run (batch 4096); its accuracy rises little after that.
    target_steps: ClassVar[int] = 100_000
    requires: ClassVar[Requires] = Requires(global_views=exactly(2), images=2)

    temperature: float = field(
        default=0.1,
        validator=positive,
        metadata={"help": "softmax temperature; smaller weighs hard negatives more"},
    )
    hidden_dim: int = field(
        default=2048,
        validator=ge(1),
        metadata={"help": "width of the projector's hidden layers"},
    )
    output_dim: int = field(
        default=128,
        validator=ge(1),
        metadata={"help": "width of the space in which views are compared"},
    )
    num_layers: int = field(
        default=2, validator=ge(1), metadata={"help": "linear layers of the projector"}
    )
    batch_norm: bool = field(
        default=True,
        metadata={"help": "batch norm after each of the projector's layers, the last included"},
    )
    # The authors' model_fn concatenates the views.
    views_together: bool = field(
        default=True,
        metadata={
            "help": "run both views in one pass, so that batch norms see them as one batch, as in "
            "the authors' code; false: one pass for each view, as in Lightly SSL"
        },
    )

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return the paper's augmentation at full strength, for two views."""
        return simclr_views()

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return learning rate and decay for the optimizer called `name`."""
        if name == "sgd":
            return linear_sgd(0.3)
        if name == "lars":  # the paper's
            return linear_lars(0.3)
        if name == "adamw":
            return transformer_adamw()
        return super().default_optimizer(name)
