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

from lightly_core.parts.sharding import local, sum_over_shards

#: Larger than every mark: everything was finite so far.
NEVER = 2**62

_LOSS, _GRADIENT = 0, 1
#: Attributes that torch itself sets on every module.
_INTERNAL = frozenset(vars(nn.Module()))


@define(frozen=True)
class Fault:
    """The first non-finite loss or gradient.

    Attributes:
        kind: Which of the two it was; a loss comes before its gradient.
        batch: Number of the batch in the run, counted from 0 over all epochs.
        rank: Process in which it occurred.
    """

    kind: Literal["loss", "gradient"]
    batch: int
    rank: int


class FiniteWatch:
    """Records the first batch whose loss, and the first whose gradient, is not finite.

    From that batch on the optimizer's steps have no effect. The weights do not change until the run
    reads the record and stops. If fewer than `max_skipped` steps were skipped so far, the step is
    skipped instead, all changes of the batch to the method are undone, and the run continues.

    Args:
        method: The method that is trained.
        max_skipped: Steps that may be skipped in the whole run, >= 0. Above 0 each step waits for
            the device.
        rank: Number of this process.
        world_size: Number of processes.

    Attributes:
        skipped: Batch numbers of the skipped steps.
    """

    def __init__(self, method: nn.Module, max_skipped: int, rank: int, world_size: int) -> None:
        self._method = method
        self._max_skipped = max_skipped
        self._rank = rank
        self._world_size = world_size
        self._first: Tensor | None = None  # (2,) int64, the first marks of loss and gradient
        self._snapshot: list[tuple[nn.Module, dict[str, Any], dict[str, Tensor]]] | None = None
        self.skipped: list[int] = []

    def start_batch(self) -> None:
        """Save the method's state if a step may be skipped and no step is in progress."""
        if self._max_skipped > len(self.skipped) and self._snapshot is None:
            self._snapshot = [
                (module, _attributes(module), {n: b.clone() for n, b in _buffers(module)})
                for module in self._method.modules()
            ]

    def record_loss(self, loss: Tensor, batch: int) -> None:
        """Record whether the loss of a batch, a scalar, is finite."""
        self._record(_LOSS, loss.detach(), batch)

    def check_gradients(self, optimizer: Optimizer, batch: int) -> bool:
        """Check the gradients that the optimizer is about to use.

        Args:
            optimizer: The optimizer. It does not use gradients that are not finite.
            batch: Number of the last batch that contributed to the gradients.

        Returns:
            Whether the step was skipped and the method's state restored.
        """
        parameters = [p for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
        if not parameters:
            self._snapshot = None
            return False
        gradients = [p.grad for p in parameters if p.grad is not None]
        total = sum_over_shards(torch.stack(_norms(gradients)).sum(), gradients)
        bad = self._record(_GRADIENT, total, batch)
        skip = self._snapshot is not None and bool(bad)
        if skip:
            _drop(parameters)
            self._restore()
            self.skipped.append(batch)
        else:
            self._block(optimizer, parameters)
        self._snapshot = None
        return skip

    def _block(self, optimizer: Optimizer, parameters: list[nn.Parameter]) -> None:
        """Cancel the step if anything was not finite so far."""
        assert self._first is not None
        # A single process may have a non-finite loss. Its weights must stay equal to the others'.
        marks = self._first if self._world_size == 1 else self._first[_GRADIENT:]
        block = (marks < NEVER).any()
        if block.device.type != "cpu":
            cancel_step(optimizer, parameters, block)
        elif block:
            _drop(parameters)

    def _record(self, kind: int, value: Tensor, batch: int) -> Tensor:
        """Record a batch if the value is not finite; return whether that is so, on the device."""
        mark = batch * self._world_size + self._rank
        if self._first is None:
            self._first = torch.full((2,), NEVER, dtype=torch.int64, device=value.device)
        bad = ~value.isfinite()
        self._first[kind].clamp_(max=torch.where(bad, mark, NEVER))
        return bad

    def _restore(self) -> None:
        assert self._snapshot is not None
        assert self._first is not None
        for module, attributes, buffers in self._snapshot:
            vars(module).update(attributes)
            for name, buffer in _buffers(module):
                buffer.copy_(buffers[name])
        self._first.fill_(NEVER)

    def marks(self, device: torch.device) -> Tensor:
        """Return the first marks of loss and gradient, (2,) int64; smaller ones were earlier."""
        if self._first is None:
            return torch.full((2,), NEVER, dtype=torch.int64, device=device)
        return self._first

    def fault(self, marks: list[int]) -> Fault | None:
        """Return the fault of `marks`: those of this process, or the least of all processes."""
        loss, gradient = marks
        if min(loss, gradient) == NEVER:
            return None
        batch, rank = divmod(min(loss, gradient), self._world_size)
        if loss // self._world_size <= gradient // self._world_size:
            return Fault("loss", loss // self._world_size, loss % self._world_size)
        return Fault("gradient", batch, rank)


def cancel_step(optimizer: Optimizer, parameters: Iterable[nn.Parameter], block: Tensor) -> None:
    """Cancel the next step if `block` is true, without waiting for the device.

    Optimizers that are not fused still apply weight decay and momentum, with a gradient of zero.

    Args:
        optimizer: The optimizer that is about to step.
        parameters: Those that have a gradient.
        block: Boolean scalar on their device.
    """
    if optimizer.defaults.get("fused"):
        # The argument of GradScaler: the kernel changes nothing if it is 1.
        optimizer.found_inf = block.float()  # type: ignore[attr-defined]
        return
    for parameter in parameters:
        assert parameter.grad is not None
        local([parameter.grad])[0].masked_fill_(block, 0.0)


def non_finite(tensors: Iterable[tuple[str, Tensor]]) -> list[str]:
    """Return the names of the tensors that hold nan or infinity; waits for the device once.

    Integer tensors, empty tensors and types without infinity are skipped.
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
        # The norm of finite numbers above 1e19 is infinite too.
        found += [
            name
            for (name, tensor), one in zip(group, fine.tolist(), strict=True)
            if not one and not tensor.isfinite().all()
        ]
    return found


def tensors_of(state: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield all tensors of a state dict and of dictionaries in it, such as that of a queue."""
    for name, value in state.items():
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, Mapping):
            yield from ((f"{name}.{inner}", tensor) for inner, tensor in tensors_of(value))


def optimizer_tensors(optimizer: Optimizer, module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of an optimizer's state, with names for error messages."""
    names: dict[object, str] = {p: name for name, p in module.named_parameters()}
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, Tensor):
                yield f"the optimizer's {key} of {names.get(parameter, 'a parameter')}", value


@torch.no_grad()
def _norms(tensors: list[Tensor]) -> list[Tensor]:
    """Return the norm of each tensor in float32; nan or infinite if it holds such a number.

    On CPUs torch computes the norm ten times as fast as the largest magnitude.
    """
    tensors = local(tensors)
    kinds = {tensor.dtype for tensor in tensors}
    norms: list[Tensor | None] = [None] * len(tensors)
    for kind in kinds:
        positions = [position for position, tensor in enumerate(tensors) if tensor.dtype == kind]
        dtype = torch.promote_types(kind, torch.float32)
        found = torch._foreach_norm([tensors[position] for position in positions], 2, dtype=dtype)
        for position, norm in zip(positions, found, strict=True):
            norms[position] = norm.float()
    return [norm for norm in norms if norm is not None]


def _may_be_infinite(tensor: Tensor) -> bool:
    kinds = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    known = tensor.is_complex() or tensor.dtype in kinds
    return known and tensor.numel() > 0 and tensor.layout == torch.strided and not tensor.is_meta


def _real(tensor: Tensor) -> Tensor:
    tensor = local([tensor.detach()])[0]
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def _drop(parameters: Iterable[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad = None


def _buffers(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return module.named_buffers(recurse=False)


def _attributes(module: nn.Module) -> dict[str, Any]:
    """Copy a module's attributes except parameters and buffers, such as a queue of features."""
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
