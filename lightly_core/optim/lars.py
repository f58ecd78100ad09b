"""LARS: SGD with a learning rate for each weight tensor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

from lightly_core.parts.sharding import local, norms

# Weights that a core updates at once. With gradients, momenta and updates they take 4 MiB. With
# fewer, the time for calls grows, and with more the numbers do not stay in the cache.
_CACHED_VALUES = 1 << 18
# The same on other devices, where a large batch needs few kernels: 256 MiB of new tensors.
_MOST_VALUES = 1 << 26


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
        rates: list[Tensor | None] = [None] * len(parameters)
        if group["adapt"]:
            rates = [*_rates(parameters, gradients, group)]
        parts: dict[bool, list[_Part]] = {False: [], True: []}  # by: has a momentum
        for parameter, gradient, rate in zip(parameters, gradients, rates, strict=True):
            state = self.state[parameter] if group["momentum"] > 0 else {}
            known = "momentum_buffer" in state
            if group["momentum"] > 0 and not known:
                state["momentum_buffer"] = torch.empty_like(gradient)
            momenta = local([state["momentum_buffer"]]) if group["momentum"] > 0 else [None]
            weight, own_gradient = local([parameter.detach(), gradient])
            parts[known].append(_Part(weight, own_gradient, momenta[0], rate))
        for known, ones in parts.items():
            for batch in _batches(ones):
                _update(batch, group, first=not known)


class _Part(NamedTuple):
    """Rows of a parameter, of its gradient and of its momentum, and the rate of the parameter."""

    weight: Tensor
    gradient: Tensor
    momentum: Tensor | None
    rate: Tensor | None

    def split(self, num_rows: int) -> Iterator[_Part]:
        """Yield parts of at most `num_rows` rows."""
        for start in range(0, len(self.weight), num_rows):
            rows = slice(start, start + num_rows)
            momentum = None if self.momentum is None else self.momentum[rows]
            yield _Part(self.weight[rows], self.gradient[rows], momentum, self.rate)


def _batches(parts: list[_Part]) -> Iterator[list[_Part]]:
    """Yield the parts in batches of limited size. Large parts are split between rows.

    The operations of a batch read its numbers again and again, which a CPU then finds in its cache.
    On any device the memory for new tensors is that of one batch.
    """
    batch: list[_Part] = []
    size = 0
    for part in parts:
        most = _most_values(part.weight.device)
        numel = part.weight.numel()
        if numel > most:
            yield from ([rows] for rows in part.split(max(1, most * len(part.weight) // numel)))
            continue
        if batch and size + numel > most:
            yield batch
            batch, size = [], 0
        batch.append(part)
        size += numel
    if batch:
        yield batch


def _most_values(device: torch.device) -> int:
    return _CACHED_VALUES * torch.get_num_threads() if device.type == "cpu" else _MOST_VALUES


def _update(batch: list[_Part], group: dict[str, Any], *, first: bool) -> None:
    """Take the step for a batch of parts; `first`: their momenta have no values yet."""
    weights = [part.weight for part in batch]
    updates = list(
        torch._foreach_add([part.gradient for part in batch], weights, alpha=group["weight_decay"])
    )
    rates = [part.rate for part in batch if part.rate is not None]
    if rates:
        torch._foreach_mul_(updates, rates)
    momenta = [part.momentum for part in batch if part.momentum is not None]
    if momenta:
        if first:
            torch._foreach_copy_(momenta, updates)
        else:
            torch._foreach_mul_(momenta, group["momentum"])
            torch._foreach_add_(momenta, updates, alpha=1 - group["dampening"])
        if group["nesterov"]:
            torch._foreach_add_(updates, momenta, alpha=group["momentum"])
        else:
            updates = momenta
    torch._foreach_add_(weights, updates, alpha=-group["lr"])


def _rates(
    parameters: list[Tensor], gradients: list[Tensor], group: dict[str, Any]
) -> list[Tensor]:
    """Return one scalar for each parameter, on its device and in its dtype."""
    # Half precision would round the rates to two or three digits.
    dtype = torch.promote_types(parameters[0].dtype, torch.float32)
    weight_norms, gradient_norms = norms(parameters, dtype), norms(gradients, dtype)
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
