"""Prototypes: the last layer of a head, and the DINO head that contains it.

D is the dimension of vectors and prototypes, K the number of prototypes.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightly_core.parts.heads import mlp
from lightly_core.parts.precision import no_autocast, single


class Prototypes(nn.Module):
    """Similarities of vectors with K prototypes of length 1.

    With ``normalize="use"`` the rows of the weight are normalised in each forward pass, and their
    lengths have no influence on the result. This is the weight-normalised layer of DINO
    (https://arxiv.org/abs/2104.14294) with its gain fixed at 1, and equals the prototypes of MSN
    (https://arxiv.org/abs/2204.07141). CAPI (https://arxiv.org/abs/2502.08769) learns the gain.
    With ``normalize="step"`` the weight itself has rows of length 1, which `normalize_weight`
    restores after each optimizer step, as in SwAV (https://arxiv.org/abs/2006.09882).

    Args:
        dim: D.
        num_prototypes: K.
        normalize: When rows are normalised, see above.
        init: ``trunc_normal``: standard deviation 0.02, truncated at two deviations (DINO).
            ``uniform``: within ``1 / sqrt(D)`` (MSN, SwAV). Both give nearly uniform directions.
            The lengths only affect how fast the directions change.
        learn_gain: Multiply each product by a learned gain that starts at 1. Only with
            ``normalize="use"``.

    Raises:
        ValueError: A size is below 1, an option is unknown, or the options exclude each other.
    """

    def __init__(
        self,
        dim: int,
        num_prototypes: int,
        *,
        normalize: Literal["use", "step"] = "use",
        init: Literal["trunc_normal", "uniform"] = "trunc_normal",
        learn_gain: bool = False,
    ) -> None:
        super().__init__()
        if dim < 1 or num_prototypes < 1:
            raise ValueError(
                "expected dim >= 1 and num_prototypes >= 1, got "
                f"dim={dim} and num_prototypes={num_prototypes}"
            )
        if normalize not in ("use", "step"):
            raise ValueError(f"normalize must be 'use' or 'step', got {normalize!r}")
        if learn_gain and normalize != "use":
            raise ValueError(f"learn_gain=True needs normalize='use', got {normalize!r}")
        self.normalize = normalize
        self.weight = nn.Parameter(torch.empty(num_prototypes, dim))
        if init == "trunc_normal":
            nn.init.trunc_normal_(self.weight, std=0.02, a=-0.04, b=0.04)
        elif init == "uniform":
            nn.init.uniform_(self.weight, -1 / math.sqrt(dim), 1 / math.sqrt(dim))
        else:
            raise ValueError(f"init must be 'trunc_normal' or 'uniform', got {init!r}")
        self.gain = nn.Parameter(torch.ones(num_prototypes)) if learn_gain else None
        if normalize == "step":
            self.normalize_weight()

    def forward(self, x: Tensor) -> Tensor:
        """Return the products with all prototypes, times the gains if these are learned.

        Args:
            x: (..., D). Vectors of length 1 give cosines.

        Returns:
            (..., K).
        """
        weight = F.normalize(self.weight, dim=1) if self.normalize == "use" else self.weight
        products = F.linear(x.to(weight.dtype), weight)
        return products if self.gain is None else products * self.gain

    def cosines(self, x: Tensor) -> Tensor:
        """Return cosines of vectors with the prototypes, computed without autocast.

        Args:
            x: (..., D), of any length.

        Returns:
            (..., K) in the precision of the weight: cosines, times the gains if these are learned.
        """
        with no_autocast(x.device):
            products: Tensor = self(F.normalize(single(x), dim=-1))
        return products

    @torch.no_grad()
    def normalize_weight(self) -> None:
        """Normalise the rows of the weight. Call it after each step for ``normalize="step"``."""
        self.weight.copy_(F.normalize(self.weight, dim=1))


class DinoHead(nn.Module):
    """The head of DINO, iBOT and DINOv2: multilayer perceptron, normalisation, prototypes.

    https://arxiv.org/abs/2104.14294, section 3.1. The teacher's head must start as a copy of the
    student's, see `lightly_core.parts.ema.EmaTeacher`. The outputs of two heads that were
    initialised separately have nothing in common.

    Args:
        dim: Dimension of the features.
        num_prototypes: K.
        hidden_dim: Dimension of the hidden layers.
        bottleneck_dim: D, the dimension of the vectors that are compared with the prototypes.
        num_layers: Number of linear layers before the prototypes, >= 1.
        batch_norm: Whether batch norms follow the hidden layers. The papers use none.

    Raises:
        ValueError: A size is below 1.
    """

    def __init__(
        self,
        dim: int,
        num_prototypes: int,
        *,
        hidden_dim: int = 2048,
        bottleneck_dim: int = 256,
        num_layers: int = 3,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"expected num_layers >= 1, got {num_layers}")
        self.mlp = mlp(
            [dim, *[hidden_dim] * (num_layers - 1), bottleneck_dim],
            norm="batch" if batch_norm else None,
            activation="gelu",
            init_std=0.02,
        )
        self.prototypes = Prototypes(bottleneck_dim, num_prototypes)

    def forward(self, x: Tensor) -> Tensor:
        """Return cosines with the prototypes, (B, K), of features (B, dim)."""
        logits: Tensor = self.prototypes(self.embed(x))
        return logits

    def embed(self, x: Tensor) -> Tensor:
        """Return the vectors of length 1 that the prototypes are compared with, (B, D)."""
        x = self.mlp(x)
        with no_autocast(x.device):
            return F.normalize(single(x), dim=-1)


def freeze_gradients(module: nn.Module, *, step: int, num_steps: int) -> None:
    """Remove the gradients of a module in the first steps of a run.

    Call it between the backward pass and the optimizer step. The optimizer skips parameters whose
    gradient is None. With a gradient of 0 it would decay the weights and count the step. DINO
    freezes its last layer in the first epoch. Take `num_steps` from
    `lightly_core.parts.schedules.capped_warmup`, or a short run never trains the layer.

    Args:
        module: Module to freeze.
        step: Optimizer steps taken so far, >= 0.
        num_steps: Number of steps in which the module is frozen, >= 0.
    """
    if step < num_steps:
        for parameter in module.parameters():
            parameter.grad = None
