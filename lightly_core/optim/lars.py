"""LARS: SGD with a learning rate for each weight tensor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer


class LARS(Optimizer):
    """SGD with momentum that scales each step by the norm of the weight tensor.

    Use it for batches of thousands of images, where one learning rate is too large for some layers
    and too small for others (You et al. 2017, https://arxiv.org/abs/1708.03888). With w a weight,
    g its gradient and v its momentum::

        rate = trust_coefficient * ||w|| / (||g|| + weight_decay * ||w|| + eps)
        v = momentum * v + (1 - dampening) * rate * (g + weight_decay * w)
        w = w - lr * v

    The rate is 1 where ||w|| or ||g|| is 0, so that parameters which start at zero are trained. In
    the first step v is ``rate * (g + weight_decay * w)``, as in `torch.optim.SGD`. No step waits
    for the device.

    Args:
        params: Parameters or parameter groups. A group with ``adapt=False`` always has the rate 1.
            Use it for biases and norms.
        lr: Learning rate, >= 0.
        momentum: In [0, 1).
        dampening: In [0, 1].
        weight_decay: >= 0.
        nesterov: Use Nesterov's form of momentum. It needs momentum and no dampening.
        trust_coefficient: Norm of a step relative to the norm of the weights, > 0.
        eps: Added to the denominator, > 0.
        clip: Use ``min(rate / lr, 1)`` for the rate, so that a step is never longer than that of
            SGD (LARC).

    Raises:
        ValueError: `nesterov` without momentum or with dampening.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        *,
        momentum: float = 0.9,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        trust_coefficient: float = 0.001,
        eps: float = 1e-8,
        clip: bool = False,
    ) -> None:
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(
                f"nesterov needs momentum > 0 and dampening = 0, got momentum={momentum} and "
                f"dampening={dampening}; set nesterov=False or change the two"
            )
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "trust_coefficient": trust_coefficient,
            "eps": eps,
            "clip": clip,
            "adapt": True,
        }
        super().__init__(params, defaults)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step. Parameters without a gradient are skipped.

        Args:
            closure: Function that computes the loss and its gradients.

        Returns:
            The return value of `closure`, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameters in _by_device_and_dtype(
                p for p in group["params"] if p.grad is not None
            ):
                self._step(parameters, group)
        return loss

    def _step(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        gradients = [p.grad for p in parameters if p.grad is not None]
        updates = list(torch._foreach_add(gradients, parameters, alpha=group["weight_decay"]))
        if group["adapt"]:
            torch._foreach_mul_(updates, _rates(parameters, gradients, group))
        if group["momentum"] > 0:
            updates = self._with_momentum(parameters, updates, group)
        torch._foreach_add_(parameters, updates, alpha=-group["lr"])

    def _with_momentum(
        self, parameters: list[Tensor], updates: list[Tensor], group: dict[str, Any]
    ) -> list[Tensor]:
        momentum: float = group["momentum"]
        seen = [i for i, p in enumerate(parameters) if "momentum_buffer" in self.state[p]]
        known = [self.state[parameters[i]]["momentum_buffer"] for i in seen]
        if known:
            torch._foreach_mul_(known, momentum)
            fresh = [updates[i] for i in seen]
            torch._foreach_add_(known, fresh, alpha=1 - group["dampening"])
        for parameter, update in zip(parameters, updates, strict=True):
            if "momentum_buffer" not in self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = update.clone()
        buffers: list[Tensor] = [self.state[p]["momentum_buffer"] for p in parameters]
        if not group["nesterov"]:
            return buffers
        torch._foreach_add_(updates, buffers, alpha=momentum)
        return updates


def _rates(
    parameters: list[Tensor], gradients: list[Tensor], group: dict[str, Any]
) -> list[Tensor]:
    """Return one scalar for each parameter, on its device and in its dtype."""
    # Half precision would round the rates to two or three digits.
    dtype = torch.promote_types(parameters[0].dtype, torch.float32)
    weight_norms = torch.stack(torch._foreach_norm(parameters, 2, dtype=dtype))
    gradient_norms = torch.stack(torch._foreach_norm(gradients, 2, dtype=dtype))
    rates = group["trust_coefficient"] * weight_norms
    rates /= gradient_norms + group["weight_decay"] * weight_norms + group["eps"]
    if group["clip"]:
        rates = (rates / group["lr"]).clamp(max=1)
    rates = rates.where((weight_norms > 0) & (gradient_norms > 0), 1)
    return list(rates.to(parameters[0].dtype).unbind())


def _by_device_and_dtype(parameters: Iterable[Tensor]) -> list[list[Tensor]]:
    """Group tensors by device and dtype."""
    lists: dict[tuple[torch.device, torch.dtype], list[Tensor]] = defaultdict(list)
    for parameter in parameters:
        lists[parameter.device, parameter.dtype].append(parameter)
    return list(lists.values())
