"""Compare training with one and with several processes: losses, gradients, the method's state.

`train_alone_and_together` trains methods in the calling process, with whole batches, and in 2 and 3
processes on the CPU, with a part of each batch. Everything is float64, so the results may differ by
rounding only. Batch norms are synchronised as in a run.

The sampler of a run divides the images. Their number is no multiple of the batch size, so each
epoch skips a few. The batch size is a multiple of the numbers of processes, as a run requires.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from lightly_core.contracts import Batch, Method
from lightly_core.data.sampler import StepSampler
from lightly_core.parts.sync_batch_norm import synchronise
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_config, load_target
from lightly_core.testing.method_case import MethodCase
from lightly_core.testing.models import TinyConv, TinyTokens
from lightly_core.testing.processes import shared_group

_BACKBONES = {"conv": TinyConv, "tokens": TinyTokens}
_NUM_IMAGES = 23
_BATCH_SIZE = 12
_LEARNING_RATE = 0.05
# Tensors are compared relative to this fraction of the largest one at least: the gradient of a
# bias before a batch norm consists of rounding errors.
_LEAST = 1e-3

#: ``losses``, ``gradients`` and ``state`` of a training, tensors by name.
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
    num_steps: int = 2


class Differences(NamedTuple):
    """The largest differences of a training from that in one process.

    Each is divided by the largest entry of the tensor, or by a thousandth of the largest entry of
    all tensors of its kind.

    Attributes:
        losses: Of the losses of all steps, averaged over the processes.
        gradients: Of the gradients of all steps, averaged over the processes.
        state: Of the tensors of the state dict after the last step.
    """

    losses: float
    gradients: float
    state: float


@dataclass(frozen=True)
class Parity:
    """Results of a training with one and with several processes.

    Attributes:
        alone: Result of the training in one process.
        together: Results of the processes of each group, by the number of processes.
    """

    alone: Outcome
    together: Mapping[int, tuple[Outcome, ...]]

    def differences(self) -> Differences:
        """Return the largest differences over all groups and processes.

        Raises:
            AssertionError: A process lacks a tensor, or no parameter got a gradient.
        """
        found = [self._differences(size, part) for size in self.together for part in self.alone]
        by_part = dict.fromkeys(self.alone, 0.0)
        for part, value, _ in found:
            by_part[part] = max(by_part[part], value)
        return Differences(**by_part)

    def check(self, tolerance: float = 1e-6) -> None:
        """Require that no difference exceeds a tolerance.

        Raises:
            AssertionError: Something differs; the message names it.
        """
        for size, part in itertools.product(self.together, self.alone):
            _, value, name = self._differences(size, part)
            assert value <= tolerance, (
                f"{part} of {name} with {size} processes differ by {value:.1e} of those with one"
            )

    def _differences(self, size: int, part: str) -> tuple[str, float, str]:
        """Return the part, its largest difference in a group, and the tensor that has it."""
        expected = self.alone[part]
        assert expected or part == "state", "no parameter got a gradient"
        outcomes = [outcome[part] for outcome in self.together[size]]
        for outcome in outcomes:
            lacking = outcome.keys() ^ expected.keys()
            assert not lacking, f"{part} with {size} processes: {lacking} only on one side"
        if part == "losses":
            mean = {k: torch.stack([o[k] for o in outcomes]).mean(0) for k in expected}
            outcomes = [mean]
        least = _LEAST * max((_largest(x) for x in expected.values()), default=0.0)
        worst, culprit = 0.0, ""
        for outcome, (name, reference) in itertools.product(outcomes, expected.items()):
            value = _difference(outcome[name], reference, least)
            if not value <= worst:
                worst, culprit = value, name
        return part, worst, culprit


def train_alone_and_together(
    trainings: Mapping[str, Training], sizes: Sequence[int] = (2, 3)
) -> dict[str, Parity]:
    """Train methods in one process and in several.

    Args:
        trainings: What to train, by names of your choice.
        sizes: Numbers of processes: 2, 3, 4 or 6.

    Returns:
        The results by the same names.

    Raises:
        RuntimeError: A process failed; its output is in the message.
    """
    with torch.random.fork_rng(devices=[]):
        alone = {name: _train(training, 0, 1) for name, training in trainings.items()}
    together = {
        size: shared_group(size).run(_train_in_group, size, dict(trainings)) for size in sizes
    }
    return {
        name: Parity(alone[name], {n: tuple(o[name] for o in got) for n, got in together.items()})
        for name in trainings
    }


def _train_in_group(
    rank: int, world_size: int, trainings: Mapping[str, Training]
) -> dict[str, Outcome]:
    """Entry point of one of the processes."""
    return {name: _train(training, rank, world_size) for name, training in trainings.items()}


def _train(training: Training, rank: int, world_size: int) -> Outcome:
    record = get_plugins().catalog.get("method", training.method)
    case = MethodCase(
        load_target(record),  # type: ignore[arg-type]
        load_config(record),
        training.method_args,
        _BACKBONES[training.backbone],
        _BATCH_SIZE,
    )
    method = case.build(world_size=world_size).double()
    if world_size > 1:
        synchronise(method)
    images = replace(case, batch_size=_NUM_IMAGES).batch()
    losses: dict[str, Tensor] = {}
    gradients: dict[str, Tensor] = {}
    rows = itertools.islice(_rows_of_steps(rank, world_size), training.num_steps)
    for step, rows_of_step in enumerate(rows):
        # As in a run, which seeds each step of each process.
        torch.manual_seed(1000 * step + rank)
        batch = _batch_of(images, rows_of_step)
        losses[f"step {step}"] = _step(method, batch, step, world_size, gradients)
    state = _tensors_of(method.state_dict())
    return {"losses": losses, "gradients": gradients, "state": state}


def _rows_of_steps(rank: int, world_size: int) -> Iterator[Tensor]:
    """Yield the positions of the images of each step of this process, without end."""
    sampler = StepSampler(
        _NUM_IMAGES, _BATCH_SIZE // world_size, seed=0, rank=rank, world_size=world_size
    )
    for epoch in itertools.count():
        sampler.set_epoch(epoch)
        for samples in sampler:
            yield torch.tensor([index for _, index in samples])


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
    method: Method[Any], batch: Batch, step: int, world_size: int, gradients: dict[str, Tensor]
) -> Tensor:
    """Take a plain gradient step, add the averaged gradients, and return this process's loss."""
    method.zero_grad()
    loss = method.training_step(batch, step).loss
    loss.backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        if world_size > 1:
            _average([p.grad for p in method.parameters() if p.grad is not None])
        method.before_step(step)
        for name, parameter in method.named_parameters():
            if parameter.grad is not None:
                gradients[f"{name} in step {step}"] = parameter.grad.clone()
                parameter.sub_(_LEARNING_RATE * parameter.grad)
        method.after_step(step + 1)
    return loss.detach()


def _average(gradients: Sequence[Tensor]) -> None:
    """Average over the processes, as DistributedDataParallel does, which takes seconds to build."""
    joined = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(joined)
    joined /= dist.get_world_size()
    parts = joined.split([gradient.numel() for gradient in gradients])  # type: ignore[no-untyped-call]
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def _batch_of(images: Batch, rows: Tensor) -> Batch:
    return Batch(
        [view[rows].double() for view in images.views],
        images.indices[rows],
        {name: _doubled(extra[rows]) for name, extra in images.extras.items()},
        crops=[crop[rows] for crop in images.crops],
        num_global=images.num_global,
    )


def _doubled(x: Tensor) -> Tensor:
    return x.double() if x.is_floating_point() else x


def _difference(found: Tensor, reference: Tensor, least: float) -> float:
    """Return the largest difference relative to the reference; inf if shape or nan differ."""
    if found.shape != reference.shape or not torch.equal(found.isnan(), reference.isnan()):
        return float("inf")
    largest = _largest(torch.where(found == reference, 0.0, found.double() - reference.double()))
    return largest / max(_largest(reference), least) if largest else 0.0


def _largest(x: Tensor) -> float:
    """Return the largest absolute entry, 0 without entries. Entries that are nan do not count."""
    return float(x.double().abs().nan_to_num(nan=0.0).max()) if x.numel() else 0.0
