"""Fields that many methods have among their options, each with one help text. No torch here.

A config class calls one of these functions with the default of its paper::

    temperature: float = temperature(0.1)

As for attrs' own `field`, the annotated return type is the type of the value in an instance.
"""

from __future__ import annotations

from typing import Literal

from attrs import field
from attrs.validators import ge

from lightly_core.config.options.checks import auto_or, not_negative, positive


def temperature(default: float, note: str = "smaller weighs hard negatives more") -> float:
    """Return the field ``temperature`` of a softmax over similarities."""
    return field(
        default=default,
        validator=positive,
        metadata={
            "help": f"temperature of the softmax; {note}" if note else "temperature of the softmax"
        },
    )


def hidden_dim(default: int, of: str = "projector") -> int:
    """Return the field ``hidden_dim`` of the network called `of`."""
    return field(
        default=default,
        validator=ge(1),
        metadata={"help": f"dimension of the {of}'s hidden layers"},
    )


def predictor_hidden_dim(default: int, note: str = "") -> int:
    """Return the field ``predictor_hidden_dim``; `note` is added to its help."""
    return field(
        default=default,
        validator=ge(1),
        metadata={"help": "dimension of the predictor's hidden layer" + note},
    )


def output_dim(default: int, compared: str = "views", note: str = "") -> int:
    """Return the field ``output_dim``, the dimension of the space in which `compared` are compared.

    `note` is added to its help.
    """
    return field(
        default=default,
        validator=ge(1),
        metadata={"help": f"dimension of the space in which {compared} are compared" + note},
    )


def num_layers(default: int, of: str = "projector", note: str = "") -> int:
    """Return the field ``num_layers`` of the network called `of`."""
    return field(
        default=default,
        validator=ge(1),
        metadata={"help": f"linear layers of the {of}" + note},
    )


def num_prototypes(default: int) -> int:
    """Return the field ``num_prototypes`` of methods that have no ``auto`` for it."""
    return field(
        default=default,
        validator=ge(2),
        metadata={"help": "prototypes that views are assigned to"},
    )


def sinkhorn_iterations(default: int = 3) -> int:
    """Return the field ``sinkhorn_iterations``."""
    return field(
        default=default,
        validator=ge(1),
        metadata={
            "help": "iterations of the Sinkhorn algorithm, which balances the assignment; more "
            "iterations balance it better"
        },
    )


def queue_size(note: str) -> int | Literal["auto"]:
    """Return the field ``queue_size`` with the default ``auto``, which `note` explains."""
    made: int | Literal["auto"] = field(
        default="auto", validator=auto_or(ge(1)), metadata={"help": note}
    )
    return made


def loss_weight(default: float, of: str, *aliases: str) -> float:
    """Return a field for the weight of a loss term.

    Args:
        default: Weight in the paper.
        of: Description of the term, such as "the term against correlated dimensions".
        *aliases: Other names of the field.
    """
    metadata: dict[str, object] = {"help": f"weight of {of}"}
    if aliases:
        metadata["aliases"] = aliases
    return field(default=default, validator=not_negative, metadata=metadata)
