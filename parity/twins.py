"""Trains a method of this project and a reference from the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lightly_core.contracts import Batch, Method
from parity.records import Outcome

LEARNING_RATE = 0.05
Rows = slice | None


@dataclass
class Twins:
    """Pairs of the parameters of a method and of its reference.

    Attributes:
        method: Our method.
        pairs: Name, our parameter, theirs, and the rows of theirs that equal ours (None: all).
    """

    method: Method
    pairs: list[tuple[str, Tensor, Tensor, Rows]] = field(default_factory=list)

    def add(self, name: str, ours: nn.Module, theirs: nn.Module) -> None:
        """Pair the trained parameters of two modules in their order, and copy the weights."""
        trained = [[p for p in m.parameters() if p.requires_grad] for m in (ours, theirs)]
        for number, pair in enumerate(zip(*trained, strict=True)):
            self.add_parameter(f"{name}.{number}", *pair)

    def add_parameter(self, name: str, ours: Tensor, theirs: Tensor, rows: Rows = None) -> None:
        """Pair two parameters, and copy the weights."""
        part = theirs if rows is None else theirs[rows]
        if part.numel() != ours.numel():
            raise ValueError(f"{name}: {tuple(ours.shape)} and {tuple(part.shape)} differ")
        part.data.copy_(ours.data.reshape(part.shape))
        self.pairs.append((name, ours, theirs, rows))

    def check(self) -> None:
        """Check that each trained parameter of ours has a counterpart.

        Raises:
            ValueError: A parameter has none.
        """
        paired = {id(ours) for _, ours, _, _ in self.pairs}
        for name, parameter in self.method.named_parameters():
            if parameter.requires_grad and id(parameter) not in paired:
                raise ValueError(f"{name} has no counterpart")

    def train(
        self,
        batches: Sequence[Batch],
        their_loss: Callable[[Batch, int], Tensor],
        after_step: Callable[[int], None] = lambda _: None,
    ) -> tuple[Outcome, Outcome]:
        """Take one step of plain SGD per batch on both sides, and return both outcomes.

        Args:
            batches: Inputs of both sides.
            their_loss: Loss of the reference, from a batch and the number of steps taken.
            after_step: Called after each step of the reference, for example to update a teacher.
        """
        self.check()
        sides: list[tuple[list[Tensor], dict[str, Tensor]]] = [([], {}), ([], {})]
        for step, batch in enumerate(batches):
            ours = self.method.training_step(batch, step).loss
            for (losses, found), loss, side in zip(
                sides, (ours, their_loss(batch, step)), (0, 1), strict=True
            ):
                self._clear_gradients()
                loss.sum().backward()
                losses.append(loss.detach().squeeze())
                found.update(self._tensors(side, f"gradient {step} of ", read_gradient))
                self._take_sgd_step(side)
            self.method.after_step(step + 1)
            after_step(step)
        for side, (_, found) in enumerate(sides):
            found.update(self._tensors(side, "weight ", lambda p: p.detach()))
        outcomes = [Outcome(losses=losses, tensors=found) for losses, found in sides]
        return outcomes[0], outcomes[1]

    def _parameters(self, side: int) -> Iterator[Tensor]:
        seen: set[int] = set()
        for _, *both, _ in self.pairs:
            if id(both[side]) not in seen:
                seen.add(id(both[side]))
                yield both[side]

    def _clear_gradients(self) -> None:
        for side in (0, 1):
            for parameter in self._parameters(side):
                parameter.grad = None

    @torch.no_grad()
    def _take_sgd_step(self, side: int) -> None:
        for parameter in self._parameters(side):
            if parameter.grad is not None:
                parameter.sub_(LEARNING_RATE * parameter.grad)

    def _tensors(
        self, side: int, prefix: str, read: Callable[[Tensor], Tensor]
    ) -> dict[str, Tensor]:
        found = {}
        for name, ours, theirs, rows in self.pairs:
            tensor = read(theirs if side else ours)
            part = tensor[rows] if side and rows is not None else tensor
            found[prefix + name] = part.clone().reshape(ours.shape)
        return found


def read_gradient(parameter: Tensor) -> Tensor:
    """Return the gradient of a parameter, or zeros if there is none."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
