"""Prototypes: the last layer of a head, and the DINO head around it.

D is the width of what is compared, K the number of prototypes.
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
    """Compare vectors with K directions.

    With ``normalize="use"`` the rows of the weight are brought to length 1 whenever they are used;
    the weight's own lengths are free and have no influence. This is the weight-normalised layer of
    DINO (https://arxiv.org/abs/2104.14294) with its gain fixed at 1, and what MSN
    (https://arxiv.org/abs/2204.07141) does with its prototypes. CAPI
    (https://arxiv.org/abs/2502.08769) learns the gain. With ``normalize="step"`` the weight itself
    is kept on the sphere by `normalize_weight`, called after each optimizer step, as in SwAV
    (https://arxiv.org/abs/2006.09882).

    Args:
        dim: D.
        num_prototypes: K.
        normalize: When rows are brought to length 1.
        init: ``trunc_normal``: deviation 0.02, cut at two deviations (DINO). ``uniform``: within
            ``1 / sqrt(D)`` (MSN, SwAV). The directions are spread alike; lengths matter only
            to how fast the weight turns.
        learn_gain: Multiply each product by a learned gain that starts at 1. Only with
            ``normalize="use"``.

    Raises:
        ValueError: A size is below 1, an option is another word, or the options exclude each other.
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
        """Return products with all prototypes, times their gains if these are learned.

        Args:
            x: (..., D), of length 1 if the products are to be cosines.

        Returns:
            (..., K).
        """
        weight = F.normalize(self.weight, dim=1) if self.normalize == "use" else self.weight
        products = F.linear(x.to(weight.dtype), weight)
        return products if self.gain is None else products * self.gain

    def cosines(self, x: Tensor) -> Tensor:
        """Compare the directions of vectors with those of the prototypes, without autocast.

        Args:
            x: (..., D), of any length.

        Returns:
            (..., K) in the precision of the weight: cosines, times the gains if there are any.
        """
        with no_autocast(x.device):
            products: Tensor = self(F.normalize(single(x), dim=-1))
        return products

    @torch.no_grad()
    def normalize_weight(self) -> None:
        """Bring the rows of the weight to length 1; after each step for ``normalize="step"``."""
        self.weight.copy_(F.normalize(self.weight, dim=1))


class DinoHead(nn.Module):
    """The head of DINO, iBOT and DINOv2: perceptron, length 1, prototypes.

    https://arxiv.org/abs/2104.14294, section 3.1. A teacher's head has to start as a copy of the
    student's, see `lightly_core.parts.ema.EmaTeacher`: two heads that were drawn one by one do not
    mean the same by their outputs.

    Args:
        dim: Width of the features.
        num_prototypes: K.
        hidden_dim: Width of the hidden layers.
        bottleneck_dim: D, the width in which features and prototypes are compared.
        num_layers: Linear layers in front of the prototypes, >= 1.
        batch_norm: Put batch norms behind the hidden layers; the papers do not.

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
    """Take away a module's gradients in the first steps of a run; between backward and step.

    A gradient of None, unlike 0, keeps an optimizer from decaying the weights and from counting the
    step. DINO does so with its last layer in the first epoch; `num_steps` ought to come from
    `lightly_core.parts.schedules.capped_warmup`, or a short run never trains the layer.

    Args:
        module: What is not to be trained yet.
        step: Optimizer steps taken so far, >= 0.
        num_steps: How many steps it stays as it is, >= 0.
    """
    if step < num_steps:
        for parameter in module.parameters():
            parameter.grad = None
