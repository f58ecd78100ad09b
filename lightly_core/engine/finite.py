"""Check on the device whether losses and gradients are finite, and find tensors that are not.

Functions wait for the device only if their docstring says so. A step records its result in a
tensor on the device, which can be read later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import torch
from attrs import define
from torch import Tensor, nn
from torch.optim import Optimizer

#: Above every mark; what is noted where all was finite.
NEVER = 2**62

_LOSS, _GRADIENT = 0, 1
#: What torch itself keeps in a module's dictionary.
_INTERNAL = frozenset(vars(nn.Module()))


@define(frozen=True)
class Fault:
    """The first thing that was not finite.

    Attributes:
        kind: Where it was seen first; the loss comes before its gradient.
        batch: Number of the batch in the run, counted from 0 over all epochs.
        rank: Process that saw it.
    """

    kind: Literal["loss", "gradient"]
    batch: int
    rank: int


class FiniteWatch:
    """Notes the first batch whose loss, and the first whose gradient, is not finite.

    From that batch on the optimizer's steps have no effect. The weights do not change until the run
    reads the record and stops. If fewer than `max_skipped` steps were skipped so far, the step is
    skipped instead, all changes of the batch to the method are undone, and the run continues.

    Args:
        method: What is trained.
        max_skipped: Steps that may be left out in the whole run, >= 0. Above 0 each step waits
            for the device.
        rank: Number of this process.
        world_size: Number of processes.

    Attributes:
        skipped: Batch numbers of the steps that were left out.
    """

    def __init__(self, method: nn.Module, max_skipped: int, rank: int, world_size: int) -> None:
        self._method = method
        self._max_skipped = max_skipped
        self._rank = rank
        self._world_size = world_size
        self._first: Tensor | None = None  # (2,) int64, the first marks of loss and gradient
        self._before: list[tuple[nn.Module, dict[str, Any], dict[str, Tensor]]] | None = None
        self.skipped: list[int] = []

    def start_batch(self) -> None:
        """Remember the method's state, where a step may be left out and none is under way."""
        if self._max_skipped > len(self.skipped) and self._before is None:
            self._before = [
                (module, _attributes(module), {n: b.clone() for n, b in _buffers(module)})
                for module in self._method.modules()
            ]

    def see_loss(self, loss: Tensor, batch: int) -> None:
        """Note whether the loss of a batch, a scalar, is finite."""
        self._note(_LOSS, loss.detach(), batch)

    def guard_step(self, optimizer: Optimizer, batch: int) -> bool:
        """Look at the gradients that the optimizer is about to use, those of a finished backward.

        Args:
            optimizer: It is kept from using what is not finite.
            batch: Number of the last batch that the gradients come from.

        Returns:
            Whether the step is left out and nothing of it remains.
        """
        parameters = [p for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
        if not parameters:
            self._before = None
            return False
        gradients = [p.grad for p in parameters if p.grad is not None]
        bad = self._note(_GRADIENT, torch.stack(_norms(gradients)).sum(), batch)
        left_out = self._before is not None and bool(bad)
        if left_out:
            _drop(parameters)
            self._take_back()
            self.skipped.append(batch)
        else:
            self._block(optimizer, parameters)
        self._before = None
        return left_out

    def _block(self, optimizer: Optimizer, parameters: list[nn.Parameter]) -> None:
        """Make the step one without effect if anything was not finite so far."""
        assert self._first is not None
        # A loss may be seen by one process only, whose weights must stay those of the others.
        notes = self._first if self._world_size == 1 else self._first[_GRADIENT:]
        block = (notes < NEVER).any()
        if block.device.type != "cpu":
            hold_back(optimizer, parameters, block)
        elif block:
            _drop(parameters)

    def _note(self, kind: int, value: Tensor, batch: int) -> Tensor:
        """Note a batch if the value is not finite; return whether that is so, on the device."""
        mark = batch * self._world_size + self._rank
        if self._first is None:
            self._first = torch.full((2,), NEVER, dtype=torch.int64, device=value.device)
        bad = ~value.isfinite()
        self._first[kind].clamp_(max=torch.where(bad, mark, NEVER))
        return bad

    def _take_back(self) -> None:
        assert self._before is not None
        assert self._first is not None
        for module, attributes, buffers in self._before:
            vars(module).update(attributes)
            for name, buffer in _buffers(module):
                buffer.copy_(buffers[name])
        self._first.fill_(NEVER)

    def notes(self, device: torch.device) -> Tensor:
        """Return the first marks of loss and gradient, (2,) int64; smaller ones were earlier."""
        if self._first is None:
            return torch.full((2,), NEVER, dtype=torch.int64, device=device)
        return self._first

    def fault(self, notes: list[int]) -> Fault | None:
        """Say what `notes` mean, those of this process or the least of all processes."""
        loss, gradient = notes
        if min(loss, gradient) == NEVER:
            return None
        batch, rank = divmod(min(loss, gradient), self._world_size)
        if loss // self._world_size <= gradient // self._world_size:
            return Fault("loss", loss // self._world_size, loss % self._world_size)
        return Fault("gradient", batch, rank)


def hold_back(optimizer: Optimizer, parameters: Iterable[nn.Parameter], block: Tensor) -> None:
    """Make the next step one without effect where `block` is true, without waiting to know.

    The steps of optimizers that are not fused then still decay weights and follow their momentum,
    with a gradient of zero.

    Args:
        optimizer: It is about to step.
        parameters: Those that have a gradient.
        block: Boolean scalar on their device.
    """
    if optimizer.defaults.get("fused"):
        # What GradScaler uses: the kernel changes nothing where this is 1.
        optimizer.found_inf = block.float()  # type: ignore[attr-defined]
        return
    for parameter in parameters:
        assert parameter.grad is not None
        parameter.grad.masked_fill_(block, 0.0)


def non_finite(tensors: Iterable[tuple[str, Tensor]]) -> list[str]:
    """Return the names of the tensors that hold nan or infinity; waits for the device once.

    Tensors of whole numbers, empty ones and those whose type has no infinity are passed over.
    """
    named = [(n, _real(t)) for n, t in tensors if _may_be_infinite(t)]
    by_device: dict[torch.device, list[tuple[str, Tensor]]] = {}
    for name, tensor in named:
        by_device.setdefault(tensor.device, []).append((name, tensor))
    found: list[str] = []
    for group in by_device.values():
        fine = torch.stack(_norms([tensor for _, tensor in group])).isfinite()
        if fine.all():
            continue
        # The norm of numbers above 1e19 is infinite without one of them being so.
        found += [
            name
            for (name, tensor), one in zip(group, fine.tolist(), strict=True)
            if not one and not tensor.isfinite().all()
        ]
    return found


def tensors_of(state: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield all tensors of a state dict; a queue keeps its own in a dictionary inside."""
    for name, value in state.items():
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, Mapping):
            yield from ((f"{name}.{inner}", tensor) for inner, tensor in tensors_of(value))


def optimizer_tensors(optimizer: Optimizer, module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield what an optimizer keeps of each parameter, under names that a user understands."""
    names: dict[object, str] = {p: name for name, p in module.named_parameters()}
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, Tensor):
                yield f"the optimizer's {key} of {names.get(parameter, 'a parameter')}", value


@torch.no_grad()
def _norms(tensors: list[Tensor]) -> list[Tensor]:
    """Return the norm of each tensor in float32; nan or infinite where it holds such a number.

    On CPUs torch takes it ten times as fast as the largest magnitude.
    """
    kinds = {tensor.dtype for tensor in tensors}
    norms: list[Tensor | None] = [None] * len(tensors)
    for kind in kinds:
        places = [place for place, tensor in enumerate(tensors) if tensor.dtype == kind]
        wide = torch.promote_types(kind, torch.float32)
        found = torch._foreach_norm([tensors[place] for place in places], 2, dtype=wide)
        for place, norm in zip(places, found, strict=True):
            norms[place] = norm.float()
    return [norm for norm in norms if norm is not None]


def _may_be_infinite(tensor: Tensor) -> bool:
    kinds = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    known = tensor.is_complex() or tensor.dtype in kinds
    return known and tensor.numel() > 0 and tensor.layout == torch.strided and not tensor.is_meta


def _real(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def _drop(parameters: Iterable[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad = None


def _buffers(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return module.named_buffers(recurse=False)


def _attributes(module: nn.Module) -> dict[str, Any]:
    """Copy what a module keeps beside parameters and buffers, such as a queue of features."""
    kept: dict[str, Any] = {}
    for name, value in vars(module).items():
        if name in _INTERNAL and name != "training":
            continue
        if isinstance(value, Tensor):
            kept[name] = value.clone() if not value.requires_grad else value
        elif isinstance(value, list | tuple) and type(value) in (list, tuple):
            kept[name] = type(value)(v.clone() if isinstance(v, Tensor) else v for v in value)
        elif isinstance(value, int | float):
            kept[name] = value
    return kept
