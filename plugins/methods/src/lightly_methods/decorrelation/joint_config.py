"""Options of methods that compare the projections of several views. No torch here."""

from __future__ import annotations

from typing import ClassVar

from attrs import define, field
from attrs.validators import ge

from lightly_core.config.method import MethodConfig
from lightly_core.config.optim import AdamWArgs, LARSArgs, OptimizerArgs
from lightly_core.config.recipes import paper_adamw
from lightly_core.config.requires import Requires, exactly

# The three fields of a projector are made by functions, since each paper has its own widths and
# attrs wants whole fields where a default changes. As attrs' own `field` they say to return what
# will stand there in an instance.


def hidden_width(default: int) -> int:
    """Return the field ``hidden_dim``."""
    return field(
        default=default,
        validator=ge(1),
        metadata={"help": "width of the projector's hidden layers"},
    )


def output_width(default: int, note: str = "") -> int:
    """Return the field ``output_dim``; `note` is added to its help."""
    text = "width of the space in which views are compared"
    return field(default=default, validator=ge(1), metadata={"help": text + note})


def projector_layers(default: int) -> int:
    """Return the field ``num_layers``."""
    return field(
        default=default,
        validator=ge(1),
        metadata={"help": "linear layers of the projector, batch norms between them"},
    )


@define(frozen=True, kw_only=True)
class JointConfig(MethodConfig):
    """What all methods have that compare projections."""

    optimizer: ClassVar[str] = "lars"
    requires: ClassVar[Requires] = Requires(global_views=exactly(2), images_per_process=2)

    hidden_dim: int = hidden_width(2048)
    output_dim: int = output_width(2048)
    num_layers: int = projector_layers(3)

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return learning rate and decay for the optimizer called `name`."""
        if name == "adamw":
            return transformer_adamw()
        return super().default_optimizer(name)


def transformer_adamw() -> AdamWArgs:
    """Return AdamW for transformers; as with SimCLR, since these papers have none."""
    return paper_adamw(5e-4, 256, weight_decay=0.05, warmup_epochs=10)


def linear_lars(lr: float, weight_decay: float) -> LARSArgs:
    """Return LARS with a learning rate meant for 256 images and in proportion to the batch."""
    return LARSArgs(
        lr=lr,
        weight_decay=weight_decay,
        lr_scale_method="linear",
        reference_batch_size=256,
    )
