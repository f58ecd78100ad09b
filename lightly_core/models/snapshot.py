"""Restore the user's module after a run, except for the values of its weights."""

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

#: Attribute in which a module stores the result of `nn.Module.compile`.
_COMPILED = "_compiled_call_impl"
#: Part of the names of attributes that switch activation checkpointing in libraries.
_SWITCH = "checkpointing"


@contextmanager
def restored_after(module: object, *, converted: bool = False) -> Iterator[None]:
    """Restore a module on exit, except for the values of its weights.

    Restored, also after an error, are: the parts themselves, their modes, ``requires_grad`` and
    gradients of the parameters, device, dtype and memory layout of all tensors, compiled and
    parallel parts (unwrapped on entry), and switches of activation checkpointing.

    Args:
        module: The user's module. Anything but a `torch.nn.Module` is ignored.
        converted: Whether weights are converted to another dtype meanwhile. If so, the original
            tensors are kept in memory, and weights that were not trained get back all digits.
    """
    if not isinstance(module, nn.Module):
        yield
        return
    snapshot = ModuleSnapshot(module, keep_values=converted)
    unwrap_parts(module)
    for part in module.modules():
        if getattr(part, _COMPILED, None) is not None:
            setattr(part, _COMPILED, None)
    try:
        yield
    finally:
        snapshot.restore()


@dataclass(frozen=True)
class _Form:
    """Device, dtype and memory layout of a tensor, and its values if they are kept."""

    device: torch.device
    dtype: torch.dtype
    shape: torch.Size
    stride: tuple[int, ...]
    values: Tensor | None

    @classmethod
    def of(cls, tensor: Tensor, keep_values: bool) -> _Form | None:
        """Describe a tensor. None if it has no values yet (lazy layers), or is no plain tensor."""
        if is_lazy(tensor):
            return None
        if tensor.layout != torch.strided or type(tensor) not in (Tensor, nn.Parameter):
            return None
        values = tensor.detach() if keep_values else None
        return cls(tensor.device, tensor.dtype, tensor.shape, tensor.stride(), values)

    def applied(self, tensor: Tensor) -> Tensor:
        """Convert a tensor to this form. A tensor that has it already is returned itself."""
        same = (tensor.device, tensor.dtype, tensor.stride()) == (
            self.device,
            self.dtype,
            self.stride,
        )
        if same or tensor.shape != self.shape:
            return tensor
        if self.values is not None and torch.equal(self.values.to(tensor), tensor):
            return self.values  # rounded by the conversion, but not trained
        target = torch.empty_strided(
            tuple(self.shape), self.stride, dtype=self.dtype, device=self.device
        )
        try:
            return target.copy_(tensor)
        except RuntimeError:  # elements that share memory, as after expand()
            return tensor.to(self.device, self.dtype)


class _Parameter(NamedTuple):
    """A parameter and its recorded state."""

    parameter: nn.Parameter
    requires_grad: bool
    form: _Form | None
    grad: Tensor | None
    grad_form: _Form | None


class ModuleSnapshot:
    """The state of a module without the values of its weights.

    Args:
        module: Module to record. Only `restore` changes it.
        keep_values: Whether values are kept too, for tensors that are converted but not trained.
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
    def restore(self) -> None:
        """Restore the recorded state."""
        self._restore_parts()
        for parameter, requires_grad, form, grad, grad_form in self._parameters:
            parameter.grad = None  # torch rejects the change if there is a gradient of another form
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

    def _restore_parts(self) -> None:
        """Restore replaced parts, with the state of their replacements."""
        for part, children in self._parts:
            for name, child in children.items():
                other = part._modules.get(name)
                if other is child:
                    continue
                if child is not None and other is not None:
                    _copy_buffers(child, other)
                part._modules[name] = child


def _copy_buffers(child: nn.Module, other: nn.Module) -> None:
    """Give a part the buffers of its replacement, such as a synchronised batch norm.

    Parameters are the same objects in both. The module in a compiled part has its state already.
    """
    for name in child._buffers:
        if name in other._buffers:
            child._buffers[name] = other._buffers[name]
