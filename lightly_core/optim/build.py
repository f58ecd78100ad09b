"""Build the optimizer and its learning-rate schedule from the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lightly_core.config.options.optim import (
    OPTIMIZERS,
    AdamArgs,
    AdamWArgs,
    LARSArgs,
    OptimizerArgs,
    SGDArgs,
)
from lightly_core.errors import ConfigError
from lightly_core.optim.groups import ParameterGroup
from lightly_core.optim.lars import LARS
from lightly_core.parts.schedules import cosine, warmup_cosine

# Every torch from 2.4 on has fused Adam, AdamW and SGD on these devices.
_FUSED_DEVICES = ("cpu", "cuda")

# Weights of these formats are not changed by fused SGD on CPUs before torch 2.15, but for up to 15
# of each tensor: https://github.com/pytorch/pytorch/issues/191763
_HALF = frozenset({torch.float16, torch.bfloat16})


def build_optimizer(
    groups: Sequence[ParameterGroup],
    name: str,
    args: OptimizerArgs,
    *,
    peak_lr: float,
    device: torch.device,
    fused: bool = True,
) -> Optimizer:
    """Build the optimizer that the settings name.

    Args:
        groups: Parameters, on `device`.
        name: ``adamw``, ``adam``, ``sgd`` or ``lars``.
        args: Options of that optimizer.
        peak_lr: Largest learning rate, already scaled to the batch size.
        device: Device of the parameters.
        fused: Allow one kernel for the whole step. Lightning cannot clip gradients under mixed
            precision with such an optimizer. Pass False if the trainer clips gradients.

    Returns:
        An optimizer whose groups also hold ``name``, ``lr_scale``, ``decay_scale``,
        ``constant_lr`` and ``initial_lr``, the peak learning rate of the group. LARS is
        `lightly_core.optim.lars.LARS` and never fused.

    Raises:
        ConfigError: `name` is unknown, or `args` belong to another optimizer.
    """
    expected = OPTIMIZERS.get(name)
    if expected is None:
        raise ConfigError(f"unknown optimizer '{name}', expected one of {', '.join(OPTIMIZERS)}")
    if not isinstance(args, expected):
        raise ConfigError(
            f"optimizer '{name}' got {type(args).__name__}, expected {expected.__name__}; "
            "change 'optim' or 'optim_args'"
        )
    torch_groups = [_torch_group(group, args, peak_lr) for group in groups]
    # None lets torch choose. False would select its slowest form, a loop over the parameters.
    parameters = _all_parameters(groups)
    use_fused = True if fused and can_be_fused(parameters, device, name) else None
    if isinstance(args, AdamWArgs):
        return AdamW(torch_groups, lr=peak_lr, betas=args.betas, eps=args.eps, fused=use_fused)
    if isinstance(args, AdamArgs):
        return Adam(torch_groups, lr=peak_lr, betas=args.betas, eps=args.eps, fused=use_fused)
    if isinstance(args, SGDArgs):
        sgd = SGD(
            torch_groups,
            lr=peak_lr,
            momentum=args.momentum,
            nesterov=args.nesterov,
            fused=use_fused,
        )
        if use_fused and args.momentum:
            _start_momentum(sgd)
        return sgd
    assert isinstance(args, LARSArgs)  # the last entry of OPTIMIZERS
    return LARS(
        torch_groups,
        lr=peak_lr,
        momentum=args.momentum,
        dampening=args.dampening,
        nesterov=args.nesterov,
        trust_coefficient=args.trust_coefficient,
        eps=args.eps,
        clip=args.clip,
    )


def _start_momentum(optimizer: SGD) -> None:
    """Give every parameter a momentum of zero. The first step stays the same.

    The fused kernel fails if only some parameters of a group have a momentum. This happens if a
    layer gets no gradients in the first steps.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def can_be_fused(parameters: Iterable[Tensor], device: torch.device, name: str) -> bool:
    """Return whether torch has a fused form of an optimizer that gives right results.

    Args:
        parameters: All parameters of the optimizer.
        device: Their device.
        name: ``adamw``, ``adam`` or ``sgd``.
    """
    dtypes = {parameter.dtype for parameter in parameters}
    if name == "sgd" and device.type == "cpu" and not dtypes.isdisjoint(_HALF):
        return False
    return device.type in _FUSED_DEVICES and all(dtype.is_floating_point for dtype in dtypes)


def build_scheduler(
    optimizer: Optimizer, *, warmup_steps: int, total_steps: int, final_fraction: float
) -> LambdaLR:
    """Build the learning-rate schedule: linear warm-up, then cosine, as in `warmup_cosine`.

    Args:
        optimizer: From `build_optimizer`. Groups with ``constant_lr`` keep their peak.
        warmup_steps: Optimizer steps of the warm-up, >= 0.
        total_steps: Optimizer steps of the run, >= 0.
        final_fraction: Last learning rate as a fraction of the peak, in [0, 1].

    Returns:
        A scheduler. Call its `step` once after each optimizer step.
    """

    def scheduled(step: int) -> float:
        return warmup_cosine(
            step,
            warmup_steps=warmup_steps,
            total_steps=total_steps,
            final_fraction=final_fraction,
        )

    def constant(step: int) -> float:
        return 1.0

    # Plain functions: LambdaLR leaves them out of checkpoints.
    factors: list[Callable[[int], float]] = [
        constant if group.get("constant_lr", False) else scheduled
        for group in optimizer.param_groups
    ]
    return LambdaLR(optimizer, factors)


def scheduled_lr(optimizer: Optimizer) -> float:
    """Return the scheduled learning rate of parameters without a factor.

    With layer decay this is the largest rate, that of the layers nearest to the loss.

    Args:
        optimizer: From `build_optimizer`.
    """
    moving = [g for g in optimizer.param_groups if not g["constant_lr"]]
    groups = moving or optimizer.param_groups
    # A group with a factor of 1 gives the rate to the last bit.
    nearest = min(groups, key=lambda group: abs(group["lr_scale"] - 1.0))
    return float(nearest["lr"]) / float(nearest["lr_scale"] or 1.0)


def set_weight_decay(
    optimizer: Optimizer, args: OptimizerArgs, *, step: int, total_steps: int
) -> None:
    """Set the weight decay of every group for a step. Call it before each step.

    It depends on the step only, so a resumed run needs no state of it.

    Args:
        optimizer: From `build_optimizer`.
        args: Options of the optimizer; without ``weight_decay_end`` nothing is changed.
        step: Optimizer steps taken so far.
        total_steps: Optimizer steps of the run.
    """
    if args.weight_decay_end is None:
        return
    decay = cosine(step, args.weight_decay, args.weight_decay_end, total_steps)
    for group in optimizer.param_groups:
        group["weight_decay"] = decay * group["decay_scale"]


def _torch_group(group: ParameterGroup, args: OptimizerArgs, peak_lr: float) -> dict[str, Any]:
    lr = peak_lr * group.lr_scale
    torch_group: dict[str, Any] = {
        "params": group.parameters,
        "name": group.name,
        "lr": lr,
        "initial_lr": lr,
        "lr_scale": group.lr_scale,
        "constant_lr": group.constant_lr,
        "weight_decay": args.weight_decay * group.weight_decay,
        "decay_scale": float(group.weight_decay),
    }
    if isinstance(args, LARSArgs):
        torch_group["adapt"] = bool(group.weight_decay)
    return torch_group


def _all_parameters(groups: Sequence[ParameterGroup]) -> list[Tensor]:
    return [parameter for group in groups for parameter in group.parameters]
