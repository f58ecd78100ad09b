"""The user's module as it was: everything but the values of its weights is given back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lightly_core.models.unwrapping import unwrap_parts
from lightly_core.parts.modes import modes_of, set_modes

log = logging.getLogger(__name__)

#: Where a module holds what `nn.Module.compile` made.
_COMPILED = "_compiled_call_impl"
#: Words in the names of attributes by which libraries switch activation checkpointing.
_SWITCH = "checkpointing"


@contextmanager
def given_back(module: object, *, converted: bool = False) -> Iterator[None]:
    """Let a run do what it needs with a module; afterwards it is as it was but for its weights.

    Given back are, also after an error: the parts themselves, their modes, ``requires_grad`` and
    gradients of the parameters, device, number format and layout in memory of all tensors, compiled
    and parallel parts (in the run they are replaced by what is inside of them), and switches for
    activation checkpointing.

    Args:
        module: The user's; anything but a `torch.nn.Module` is left alone.
        converted: Whether weights are converted to another number format meanwhile. Those that
            are not trained then get back all digits, for which their memory is kept.
    """
    if not isinstance(module, nn.Module):
        yield
        return
    inventory = Inventory(module, keep_values=converted)
    unwrap_parts(module)
    for part in module.modules():
        if getattr(part, _COMPILED, None) is not None:
            setattr(part, _COMPILED, None)
    try:
        yield
    finally:
        inventory.give_back()


@dataclass(frozen=True)
class _Form:
    """How a tensor lies in memory, and its values where they are kept."""

    device: torch.device
    dtype: torch.dtype
    shape: torch.Size
    stride: tuple[int, ...]
    values: Tensor | None

    @classmethod
    def of(cls, tensor: Tensor, keep_values: bool) -> _Form | None:
        """Look at a tensor; None where it has no numbers, as before a lazy layer's first images."""
        if is_lazy(tensor):
            return None
        if tensor.layout != torch.strided or type(tensor) not in (Tensor, nn.Parameter):
            return None
        values = tensor.detach() if keep_values else None
        return cls(tensor.device, tensor.dtype, tensor.shape, tensor.stride(), values)

    def applied(self, tensor: Tensor) -> Tensor:
        """Return the values of a tensor in this form; the tensor itself where it has it."""
        same = (tensor.device, tensor.dtype, tensor.stride()) == (
            self.device,
            self.dtype,
            self.stride,
        )
        if same or tensor.shape != self.shape:
            return tensor
        if self.values is not None and torch.equal(self.values.to(tensor), tensor):
            return self.values  # nothing but rounded
        target = torch.empty_strided(
            tuple(self.shape), self.stride, dtype=self.dtype, device=self.device
        )
        try:
            return target.copy_(tensor)
        except RuntimeError:  # several elements in one place, as after expand()
            return tensor.to(self.device, self.dtype)


class _Parameter(NamedTuple):
    """A parameter, and what it was like."""

    parameter: nn.Parameter
    requires_grad: bool
    form: _Form | None
    grad: Tensor | None
    grad_form: _Form | None


class Inventory:
    """What there is to know of a module beside the values of its weights.

    Args:
        module: Is looked at, and changed by `give_back` only.
        keep_values: Whether the values are kept, too, for tensors that are only converted.
    """

    def __init__(self, module: nn.Module, *, keep_values: bool = False) -> None:
        self._module = module
        self._modes = modes_of(module)
        self._parts = [(part, dict(part._modules)) for part in module.modules()]
        self._compiled = [(part, getattr(part, _COMPILED, None)) for part in module.modules()]
        self._switches = [
            (part, name, value)
            for part in module.modules()
            for name, value in vars(part).items()
            if _SWITCH in name and isinstance(value, bool)
        ]
        self._parameters = [
            _Parameter(
                parameter,
                parameter.requires_grad,
                _Form.of(parameter, keep_values),
                parameter.grad,
                None if parameter.grad is None else _Form.of(parameter.grad, keep_values),
            )
            for parameter in module.parameters()
        ]
        self._buffers = [
            (part, name, _Form.of(buffer, keep_values))
            for part in module.modules()
            for name, buffer in part._buffers.items()
            if buffer is not None
        ]

    @torch.no_grad()
    def give_back(self) -> None:
        """Make all as it was."""
        self._give_back_parts()
        for parameter, requires_grad, form, grad, grad_form in self._parameters:
            parameter.grad = None  # one of another form would refuse the change
            if form is not None:
                parameter.data = form.applied(parameter.data)
            if parameter.requires_grad != requires_grad:
                parameter.requires_grad_(requires_grad)
            if grad is not None and grad_form is not None:
                grad.data = grad_form.applied(grad.data)
            parameter.grad = grad
        for part, name, form in self._buffers:
            buffer = part._buffers.get(name)
            if form is not None and buffer is not None:
                part._buffers[name] = form.applied(buffer)
        for part, name, switch in self._switches:
            setattr(part, name, switch)
        for part, compiled in self._compiled:
            if compiled is not None:
                setattr(part, _COMPILED, compiled)
        set_modes(self._module, self._modes)

    def _give_back_parts(self) -> None:
        """Put parts back in their places, with the state of those that stood there meanwhile."""
        for part, children in self._parts:
            for name, child in children.items():
                other = part._modules.get(name)
                if other is child:
                    continue
                if child is not None and other is not None:
                    _take_over(child, other)
                part._modules[name] = child


def _take_over(child: nn.Module, other: nn.Module) -> None:
    """Give a part the buffers of the one that stood in its place, such as a synchronised norm.

    Parameters are the same objects in both. What is inside of a compiled part has its state.
    """
    for name in child._buffers:
        if name in other._buffers:
            child._buffers[name] = other._buffers[name]
