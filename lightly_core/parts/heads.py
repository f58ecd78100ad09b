"""Heads on top of the backbone: projectors and predictors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import nn

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU}


def mlp(
    dims: Sequence[int],
    *,
    norm: Literal["batch", "layer"] | None = None,
    activation: Literal["relu", "gelu"] = "relu",
    last_norm: bool | Literal["no_affine"] = False,
    last_bias: bool = True,
    init_std: float | None = None,
) -> nn.Sequential:
    """Build linear layers with norm and activation between them.

    A linear layer in front of a batch norm has no bias: the norm would take it out again.

    Args:
        dims: Widths from input to output, at least two; each further one is a hidden layer.
        norm: What follows each hidden linear layer.
        activation: What follows each hidden norm.
        last_norm: Put a norm of the same kind after the last layer too; ``no_affine``: one
            without learned scale and shift.
        last_bias: Whether the last linear layer has a bias, where no batch norm follows.
        init_std: Draw weights from a normal distribution with this deviation, cut at two units,
            and set biases to 0 (DINO: 0.02); None: as torch does.

    Returns:
        A module from (B, dims[0]) to (B, dims[-1]).

    Raises:
        ValueError: Fewer than two widths, or `last_norm` without `norm`.
    """
    if len(dims) < 2:
        raise ValueError(f"expected at least two widths, input and output, got {list(dims)}")
    if last_norm and norm is None:
        raise ValueError(f"last_norm={last_norm!r} needs norm='batch' or norm='layer', got None")
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(dims[:-1]):
        layers.append(nn.Linear(width_in, width_out, bias=norm != "batch"))
        if norm is not None:
            layers.append(_norm(norm, width_out, affine=True))
        layers.append(_ACTIVATIONS[activation]())
    bias = last_bias and not (last_norm and norm == "batch")
    layers.append(nn.Linear(dims[-2], dims[-1], bias=bias))
    if last_norm and norm is not None:
        layers.append(_norm(norm, dims[-1], affine=last_norm != "no_affine"))
    if init_std is not None:
        for layer in layers:
            _init_linear(layer, init_std)
    return nn.Sequential(*layers)


def _norm(kind: Literal["batch", "layer"], width: int, affine: bool) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm1d(width, affine=affine)
    return nn.LayerNorm(width, elementwise_affine=affine)


def _init_linear(layer: nn.Module, std: float) -> None:
    if isinstance(layer, nn.Linear):
        nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
