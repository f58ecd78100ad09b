"""Heads on top of the backbone: projectors and predictors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

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
    """Build a multilayer perceptron.

    A linear layer before a batch norm has no bias, since the norm would remove it.

    Args:
        dims: Dimensions of the input, the hidden layers and the output, at least two.
        norm: Norm after each hidden linear layer.
        activation: Activation after each hidden norm.
        last_norm: Whether a norm of the same kind follows the last layer. ``no_affine``: one
            without learned scale and shift.
        last_bias: Whether the last linear layer has a bias. Ignored if a batch norm follows it.
        init_std: Standard deviation of a normal distribution, truncated at two deviations, from
            which weights are sampled. Biases are set to 0 (DINO: 0.02). None keeps the
            initialisation of torch.

    Returns:
        A module from (B, dims[0]) to (B, dims[-1]).

    Raises:
        ValueError: Fewer than two dimensions, or `last_norm` without `norm`.
    """
    if len(dims) < 2:
        raise ValueError(f"expected at least two dimensions, input and output, got {list(dims)}")
    if last_norm and norm is None:
        raise ValueError(f"last_norm={last_norm!r} needs norm='batch' or norm='layer', got None")
    layers: list[nn.Module] = []
    for dim_in, dim_out in pairwise(dims[:-1]):
        layers.append(nn.Linear(dim_in, dim_out, bias=norm != "batch"))
        if norm is not None:
            layers.append(_norm(norm, dim_out, affine=True))
        layers.append(_ACTIVATIONS[activation]())
    bias = last_bias and not (last_norm and norm == "batch")
    layers.append(nn.Linear(dims[-2], dims[-1], bias=bias))
    if last_norm and norm is not None:
        layers.append(_norm(norm, dims[-1], affine=last_norm != "no_affine"))
    if init_std is not None:
        for layer in layers:
            _init_linear(layer, init_std)
    return nn.Sequential(*layers)


def apply_to_views(head: nn.Sequential, views: Sequence[Tensor]) -> list[Tensor]:
    """Apply a head to several views, as ``[head(view) for view in views]``, in less time.

    Batch norms take the statistics of each view. All other layers get the rows of all views at
    once, so a wide linear layer computes the gradient of its weight once and not once per view.

    Args:
        head: Layers that treat each row on its own, and batch norms.
        views: (B, D) each. B may differ.

    Returns:
        The output of each view (B, E). Rounding and the last digits of gradients may differ from
        those of single calls.
    """
    sizes = [len(view) for view in views]
    rows = torch.cat(list(views))  # (V * B, D)
    for layer in head:
        if isinstance(layer, _BatchNorm):
            rows = torch.cat([layer(view) for view in torch.split(rows, sizes)])
        else:
            rows = layer(rows)
    return list(torch.split(rows, sizes))


def _norm(kind: Literal["batch", "layer"], dim: int, affine: bool) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm1d(dim, affine=affine)
    return nn.LayerNorm(dim, elementwise_affine=affine)


def _init_linear(layer: nn.Module, std: float) -> None:
    if isinstance(layer, nn.Linear):
        nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
