"""Compare training with one and two processes: losses, gradients, and the method's state.

`train_alone_and_together` trains methods in the calling process, with whole batches, and in two
processes on the CPU, with half a batch each. Everything is float64, so the results may differ by
rounding only.

Batch norms use the statistics of the whole batch in both cases, as synchronised batch norms do on
GPUs. Those of torch do not work on CPUs, so a simple implementation replaces them here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lightly_core.contracts import Batch, Method
from lightly_core.parts.distributed import reduce_mean_with_gradient
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_config, load_target
from lightly_core.testing.method_case import MethodCase
from lightly_core.testing.models import TinyConv, TinyTokens
from lightly_core.testing.processes import ProcessPair

_BACKBONES = {"conv": TinyConv, "tokens": TinyTokens}
_BATCH_SIZE = 8
_LEARNING_RATE = 0.05

Outcome = dict[str, dict[str, Tensor]]


@dataclass(frozen=True)
class Training:
    """A method, and the settings of its training.

    Attributes:
        method: Name of the method.
        method_args: Options of the method, such as those that make it small.
        backbone: ``conv`` has batch norms, ``tokens`` is a small vision transformer.
        num_steps: Optimizer steps. Queues and teachers have an effect from the second on.
    """

    method: str
    method_args: Mapping[str, object]
    backbone: str = "conv"
    num_steps: int = 3


@dataclass(frozen=True)
class Parity:
    """Results of a training with one and with two processes.

    Each result has ``losses`` (one per step), ``gradients`` of the last step by parameter name, and
    ``state``, the tensors of the state dict after the last step.

    Attributes:
        alone: Result of the training in one process.
        together: Results of the two processes.
    """

    alone: Outcome
    together: tuple[Outcome, Outcome]

    def check(self, *, rtol: float = 1e-6, atol: float = 1e-9) -> None:
        """Compare losses, gradients and state.

        Raises:
            AssertionError: Something differs; the message names it.
        """
        losses = [outcome["losses"]["all"] for outcome in self.together]
        mean = (losses[0] + losses[1]) / 2
        torch.testing.assert_close(mean, self.alone["losses"]["all"], rtol=rtol, atol=atol)
        for part in ("gradients", "state"):
            expected = self.alone[part]
            assert expected or part == "state", "no parameter got a gradient"
            for outcome in self.together:
                found = outcome[part]
                assert found.keys() == expected.keys(), f"{part}: {found.keys() ^ expected.keys()}"
                for name, tensor in found.items():
                    assert torch.allclose(tensor, expected[name], rtol, atol, equal_nan=True), (
                        f"{part} of {name} differ by up to {(tensor - expected[name]).abs().max()}"
                    )


def train_alone_and_together(
    trainings: Mapping[str, Training], pair: ProcessPair | None = None
) -> dict[str, Parity]:
    """Train methods in one process and in two.

    Args:
        trainings: What to train, by names of your choice.
        pair: The two processes. None: start them for this call.

    Returns:
        The results by the same names.

    Raises:
        RuntimeError: A process failed; its output is in the message.
    """
    with ProcessPair() if pair is None else contextlib.nullcontext(pair) as processes:
        first, second = processes.run(_train_in_pair, dict(trainings))
    with torch.random.fork_rng(devices=[]):
        alone = {name: _train(training, 0, 1) for name, training in trainings.items()}
    return {name: Parity(alone[name], (first[name], second[name])) for name in trainings}


def _train_in_pair(rank: int, trainings: Mapping[str, Training]) -> dict[str, Outcome]:
    """Entry point of one of the two processes."""
    return {name: _train(training, rank, 2) for name, training in trainings.items()}


def _train(training: Training, rank: int, world_size: int) -> Outcome:
    record = get_plugins().catalog.get("method", training.method)
    case = MethodCase(
        load_target(record),  # type: ignore[arg-type]
        load_config(record),
        training.method_args,
        _BACKBONES[training.backbone],
        _BATCH_SIZE,
    )
    method = _with_global_norms(case.build(world_size=world_size).double())
    batch = _rows_of(case.batch(), rank, world_size)
    losses: list[Tensor] = []
    gradients: dict[str, Tensor] = {}
    for step in range(training.num_steps):
        # As in a run, which seeds each step of each process.
        torch.manual_seed(1000 * step + rank)
        loss, gradients = _step(method, batch, step, world_size)
        losses.append(loss)
    return {
        "losses": {"all": torch.stack(losses)},
        "gradients": gradients,
        "state": _tensors_of(method.state_dict()),
    }


def _tensors_of(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return all tensors of a state dict, including those of nested dicts, such as of queues."""
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        if isinstance(value, Tensor):
            found[name] = value
        elif isinstance(value, Mapping):
            found |= {f"{name}.{key}": one for key, one in _tensors_of(value).items()}
    return found


def _step(
    method: Method[Any], batch: Batch, step: int, world_size: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """Take a plain gradient step; return the loss of this process and the averaged gradients."""
    method.zero_grad()
    loss = method.training_step(batch, step).loss
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = {}
    with torch.no_grad():
        method.before_step(step)
        for name, parameter in method.named_parameters():
            if parameter.grad is None:
                continue
            # As DistributedDataParallel does, which takes seconds to build.
            if world_size > 1:
                dist.all_reduce(parameter.grad)
                parameter.grad /= world_size
            gradients[name] = parameter.grad.clone()
            parameter.sub_(_LEARNING_RATE * parameter.grad)
        method.after_step(step + 1)
    return loss.detach(), gradients


def _rows_of(batch: Batch, rank: int, world_size: int) -> Batch:
    rows = slice(rank * _BATCH_SIZE // world_size, (rank + 1) * _BATCH_SIZE // world_size)
    return Batch(
        [view[rows].double() for view in batch.views],
        batch.indices[rows],
        {name: _doubled(extra[rows]) for name, extra in batch.extras.items()},
        crops=[crop[rows] for crop in batch.crops],
        num_global=batch.num_global,
    )


def _doubled(x: Tensor) -> Tensor:
    return x.double() if x.is_floating_point() else x


class _GlobalBatchNorm(nn.Module):
    """Normalise with the mean and variance of the images of all processes."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.weight: Any = norm.weight
        self.bias: Any = norm.bias
        self.eps: Any = norm.eps

    def forward(self, x: Tensor) -> Tensor:
        dims = [dim for dim in range(x.ndim) if dim != 1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        mean = reduce_mean_with_gradient(x.mean(dims)).view(shape)
        variance = reduce_mean_with_gradient((x - mean).square().mean(dims)).view(shape)
        x = (x - mean) / (variance + self.eps).sqrt()
        return x if self.weight is None else x * self.weight.view(shape) + self.bias.view(shape)


def _with_global_norms(method: Method[Any]) -> Method[Any]:
    """Replace the batch norms, including those of a teacher."""
    for module in list(method.modules()):
        for name, child in module.named_children():
            if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d)):
                setattr(module, name, _GlobalBatchNorm(child))
    return method
