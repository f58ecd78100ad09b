"""Comparisons and how they are measured.

A comparison runs the same inputs through this project and through a reference, in float64. Two
tensors differ by the largest absolute difference of their entries, divided by the largest absolute
entry of the reference.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

TensorFunction: TypeAlias = Callable[..., Tensor | Iterator[Tensor]]

TINY = 1e-300

#: Differences of tensors are divided by at least this fraction of the largest tensor's maximum.
LEAST = 1e-3


@dataclass(frozen=True)
class Difference:
    """The difference that a comparison found.

    Attributes:
        value: Difference of the losses, or of other results.
        gradient: Largest difference of all gradients and of the weights after the steps. None if no
            gradients are compared.
    """

    value: float
    gradient: float | None

    def exceeds(self, tolerance: float) -> bool:
        """Return whether one of the two exceeds a tolerance or is nan."""
        return not (self.value <= tolerance and (self.gradient or 0.0) <= tolerance)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One row of the page.

    Attributes:
        method: Name of the method, or of a building block of several methods.
        what: The compared quantity.
        equals: The reference: names of `lightly` in backticks, or "plain form" for a function in
            `parity.families`. Method, `what` and `equals` determine the seed.
        tolerance: Largest allowed difference.
        differs: Intended differences from the reference, with the factor.
    """

    method: str
    what: str
    equals: str
    tolerance: float = 1e-12
    differs: str = ""

    def measure(self) -> Difference:
        """Run both sides and return their difference."""
        raise NotImplementedError

    def seed(self) -> int:
        """Return the seed of this comparison."""
        return zlib.crc32(f"{self.method} {self.what} {self.equals}".encode())


@dataclass(frozen=True, kw_only=True)
class Function(Comparison):
    """Two functions of the same random tensors.

    Attributes:
        inputs: Shapes by name of the argument. Entries are sampled from the normal distribution.
        ours: Returns a tensor of any shape, or yields the loss of each step. Gradients are computed
            before the next step, as in training.
        theirs: The reference, as `ours`. Expected is `factor` times its result, plus `offset`.
        factor: Factor on the result of `theirs`.
        offset: Summand added to the result of `theirs`.
        has_gradient: Whether gradients of the inputs are compared.
    """

    inputs: Mapping[str, tuple[int, ...]]
    ours: TensorFunction
    theirs: TensorFunction
    factor: float = 1.0
    offset: float = 0.0
    has_gradient: bool = True

    def measure(self) -> Difference:
        """Run the forward and backward pass of both functions."""
        generator = torch.Generator().manual_seed(self.seed())
        sampled = {name: torch.randn(s, generator=generator) for name, s in self.inputs.items()}
        value, gradients = self._run(self.ours, sampled)
        reference, expected = self._run(self.theirs, sampled)
        off = relative(value, self.factor * reference.reshape(value.shape) + self.offset)
        if not self.has_gradient:
            return Difference(off, None)
        if not any(x.abs().max() > 0 for x in expected):
            raise ValueError(f"{self.method}, {self.what}: the reference has no gradient")
        pairs = zip(gradients, expected, strict=True)
        return Difference(off, max(relative(own, self.factor * other) for own, other in pairs))

    def _run(
        self,
        function: TensorFunction,
        sampled: Mapping[str, Tensor],
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the results of a function and the gradients of its arguments."""
        leaves = {name: x.clone().requires_grad_(self.has_gradient) for name, x in sampled.items()}
        torch.manual_seed(self.seed())
        result = function(**leaves)
        values = []
        for value in [result] if isinstance(result, Tensor) else result:
            values.append(value.detach().squeeze())
            if self.has_gradient:
                # Entries get different weights, as the sum after a layer norm is constant.
                weights = torch.linspace(1, 2, value.numel()).reshape(value.shape)
                (value * weights).sum().backward()
        gradients = [torch.zeros_like(x) if x.grad is None else x.grad for x in leaves.values()]
        return torch.stack(values), gradients


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Results of a training of a few steps.

    Attributes:
        losses: The loss of each step.
        tensors: Gradients of each step and weights after the last one, by name.
    """

    losses: Sequence[Tensor]
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Training(Comparison):
    """Whole training steps with the same weights and batches.

    Attributes:
        run: Trains both sides and returns their outcomes, that of the reference last.
    """

    run: Callable[[], tuple[Outcome, Outcome]]

    def measure(self) -> Difference:
        """Train both sides and return the difference of their outcomes."""
        torch.manual_seed(self.seed())
        ours, theirs = self.run()
        if ours.tensors.keys() != theirs.tensors.keys():
            raise ValueError(f"{self.method}: {ours.tensors.keys() ^ theirs.tensors.keys()}")
        # The gradient of a bias before a batch norm consists of rounding errors only.
        least = LEAST * max(float(x.abs().max()) for x in theirs.tensors.values())
        return Difference(
            relative(torch.stack([*ours.losses]), torch.stack([*theirs.losses])),
            max(relative(x, theirs.tensors[name], least) for name, x in ours.tensors.items()),
        )


def relative(ours: Tensor, theirs: Tensor, least: float = TINY) -> float:
    """Return the largest difference of two tensors, divided by the largest entry of `theirs`.

    Args:
        ours: Tensor of any shape.
        theirs: Reference of the same shape.
        least: Lower limit of the divisor.
    """
    if ours.shape != theirs.shape:
        raise ValueError(f"shapes {tuple(ours.shape)} and {tuple(theirs.shape)} differ")
    largest = (ours - theirs).abs().max().item()
    return largest / max(theirs.abs().max().item(), least) if largest else 0.0
