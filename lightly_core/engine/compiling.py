"""Compiles the forward passes of the backbones with torch.compile, for training steps only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lightly_core.contracts import WrapperLike
from lightly_core.errors import ConfigError

#: Methods of a wrapper that compute features; see `ModelWrapper` and the capabilities.
FORWARDS = ("forward_features", "forward_tokens", "forward_intermediates", "forward_multi_scale")


class CompiledBackbones:
    """The backbones of a method, with compiled forward passes.

    Student, teacher and other copies are compiled each. A pass is compiled when it is first called,
    and once more for each size of the views. Heads and losses are not compiled.

    The modules are not changed: their methods are replaced inside `used` only. Copies, exported
    files and evaluations during training therefore never see a compiled function.

    Args:
        method: Its parts that are wrappers are compiled. Of nested wrappers it is the outermost.
        backend: Backend of torch.compile.
    """

    def __init__(self, method: nn.Module, backend: str = "inductor") -> None:
        self._functions = [
            (wrapper, name, _compiled(getattr(wrapper, name), backend))
            for wrapper in outermost_wrappers(method)
            for name in FORWARDS
            if hasattr(wrapper, name)
        ]

    @contextmanager
    def used(self) -> Iterator[None]:
        """Replace the methods of the wrappers by the compiled ones."""
        for wrapper, name, function in self._functions:
            wrapper.__dict__[name] = function
        try:
            yield
        finally:
            for wrapper, name, _ in self._functions:
                del wrapper.__dict__[name]


def outermost_wrappers(method: nn.Module) -> list[nn.Module]:
    """Return the parts of a method that are wrappers and are not inside another one."""
    found: list[nn.Module] = []
    inside: set[int] = set()
    for module in method.modules():  # parents come before their children
        if module is method or id(module) in inside or not isinstance(module, WrapperLike):
            continue
        found.append(module)
        inside.update(id(part) for part in module.modules())
    return found


def require_compiler(device: str) -> None:
    """Compile a small function, to find out whether the machine can.

    Args:
        device: Type of the device.

    Raises:
        ConfigError: It cannot.
    """
    try:
        with torch.no_grad():
            _compiled(_sine_plus_one, "inductor")(torch.zeros(8, device=device))
    except Exception as error:  # of the compilers behind torch.compile
        lines = [line for line in str(error).splitlines() if line.strip()]
        reason = lines[0].strip() if lines else type(error).__name__
        raise ConfigError(
            f"config.compile: torch.compile does not work on this machine: {reason}"
            "\n  install a C++ compiler (and triton for a GPU), or set compile=false"
        ) from error


def _sine_plus_one(x: torch.Tensor) -> torch.Tensor:
    return x.sin() + 1


def _compiled(function: Callable[..., Any], backend: str) -> Callable[..., Any]:
    # One graph for each size of a view: a graph for all sizes would be slower, and interpolated
    # position embeddings do not allow it.
    compiled: Callable[..., Any] = torch.compile(function, backend=backend, dynamic=False)
    return compiled
