"""Save a failed training step to a file, and repeat it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from attrs import define
from torch import Tensor

from lightly_core.atomic import atomic_path
from lightly_core.config.auto.resolve import Resolved
from lightly_core.contracts import Batch, Method
from lightly_core.data.base import ImageSource
from lightly_core.data.sampler import order_of
from lightly_core.engine.checkpoint_io import read_checkpoint
from lightly_core.engine.module import TrainingModule, seed_step
from lightly_core.parts.files import save_torch

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from lightly_core.config.docs.signature import RunSettings

_SHOWN = 8


@define(frozen=True)
class BadStep:
    """The step of a run in which a loss or gradient was not finite.

    Attributes:
        resolved: The run's settings.
        kind: ``loss`` or ``gradient``.
        batch: Number of the batch, from 0 over all epochs; for a gradient the last one in it.
        rank: Process in which it occurred; None: all.
    """

    resolved: Resolved
    kind: str
    batch: int
    rank: int | None

    @property
    def epoch(self) -> int:
        """Epoch, counted from 0."""
        return self.batch // self.resolved.batches_per_epoch

    @property
    def batch_index(self) -> int:
        """Number of the batch in its epoch, from 0."""
        return self.batch % self.resolved.batches_per_epoch

    @property
    def step(self) -> int:
        """Number of the optimizer step, from 1."""
        done = self.epoch * self.resolved.steps_per_epoch
        return done + self.batch_index // self.resolved.accumulation + 1

    @property
    def what(self) -> str:
        """Description for the user, such as ``the loss of step 7 (epoch 2, batch 3 of it)``."""
        place = f"epoch {self.epoch + 1}, batch {self.batch_index + 1} of it"
        return f"the {self.kind} of step {self.step} ({place})"

    def parts(self) -> list[tuple[int, int]]:
        """Return (batch in the epoch, process) of all batches in the step."""
        first = self.batch_index // self.resolved.accumulation * self.resolved.accumulation
        batches = range(first, self.batch_index + 1)
        ranks = range(self.resolved.world_size)
        if self.kind == "loss" and self.rank is not None:
            batches, ranks = (
                range(self.batch_index, self.batch_index + 1),
                range(self.rank, self.rank + 1),
            )
        return [(batch, rank) for batch in batches for rank in ranks]

    def indices(self, source: ImageSource) -> list[int]:
        """Return the positions of its images in the source, in the order of `parts`."""
        resolved = self.resolved
        seed = int(resolved.run.seed or 0)
        order = order_of(resolved.dataset_size, seed, self.epoch, source.order)
        size, found = resolved.per_device_batch_size, []
        for batch, rank in self.parts():
            start = (batch * resolved.world_size + rank) * size
            found += [int(index) for index in order[start : start + size]]
        return found

    def images(self, module: TrainingModule) -> str:
        """Return a sentence that names its first images."""
        indices = self.indices(module.source)
        named = ", ".join(f"'{module.source.name(index)}'" for index in indices[:_SHOWN])
        more = f" and {len(indices) - _SHOWN} more" if len(indices) > _SHOWN else ""
        return f"Its images: {named}{more}"


def write_replay(path: Path, module: TrainingModule, bad: BadStep) -> None:
    """Write everything needed to repeat a step, as tensors and plain data.

    Args:
        path: Where to write.
        module: The module that is trained, with the weights before the step.
        bad: The step.
    """
    seed = int(bad.resolved.run.seed or 0)
    batches = []
    for batch_index, rank in bad.parts():
        batch = module.make_batch(bad.epoch, batch_index, rank)
        number = bad.batch - bad.batch_index + batch_index
        batches.append(
            {
                "views": [view.cpu() for view in batch.views],
                "indices": batch.indices.cpu(),
                "extras": {name: extra.cpu() for name, extra in batch.extras.items()},
                "view_ids": batch.view_ids,
                "crops": [crop.cpu() for crop in batch.crops],
                "seed": [seed, number, rank],
            }
        )
    kept = {
        "what": bad.what,
        "kind": bad.kind,
        "step": bad.step,
        "epoch": bad.epoch + 1,
        "images": [module.source.name(index) for index in bad.indices(module.source)],
        "batches": batches,
        "state": module.method.state_dict(),
        "precision": str(bad.resolved.run.precision),
        "config": json.dumps(bad.resolved.as_dict()),
    }
    with atomic_path(path) as temporary:
        save_torch(kept, temporary)


@define(frozen=True)
class Replayed:
    """A repeated step.

    Attributes:
        method: The method with the weights before the step; its parameters hold the gradient.
        batches: The batches, as passed to `training_step`.
        losses: Loss of each, scalars with their graph.
        images: Names of all images.
    """

    method: Method[Any]
    batches: list[Batch]
    losses: list[Tensor]
    images: list[str]


def replay(file: str | Path, *, backward: bool = True, **settings: Unpack[RunSettings]) -> Replayed:
    """Repeat the step at which a run stopped, on the CPU. Nothing is written.

    Args:
        file: ``non_finite/step=N.pt`` of the run folder.
        backward: Whether gradients are computed too.
        **settings: Settings of the run, as `lightly_core.pretrain` takes them. Its images are not
            read again. A module that is passed gets the weights before the step.

    Raises:
        ConfigError: The file or the settings are wrong.
    """
    from lightly_core.config.reading.load import load_settings
    from lightly_core.engine.build import build_run
    from lightly_core.engine.logs import RunLogs
    from lightly_core.engine.run import Run
    from lightly_core.plugins.discovery import get_plugins

    kept = read_checkpoint(Path(file))
    plugins = get_plugins()
    arguments = {name: value for name, value in settings.items() if name not in _START_SETTINGS}
    run = Run(load_settings(catalog=plugins.catalog, arguments=arguments), plugins, RunLogs(False))
    method = build_run(run.resolved, run.source, plugins.catalog).method
    method.load_state_dict(kept["state"])
    batches, losses = [], []
    for part in kept["batches"]:
        seed_step(*part.pop("seed"))
        batches.append(Batch(**part, num_global=method.context.num_views))
        with _precision(kept["precision"]):
            losses.append(method.training_step(batches[-1], kept["step"] - 1).loss)
        if backward:
            (losses[-1] / len(kept["batches"])).backward(retain_graph=True)  # type: ignore[no-untyped-call]
    return Replayed(method, batches, losses, _texts(kept["images"]))


#: Settings that affect only the start of a run.
_START_SETTINGS = frozenset({"resume_interrupted", "resume", "overwrite", "checkpoint"})


def _precision(precision: str) -> AbstractContextManager[Any]:
    kinds = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    if precision not in kinds:
        return nullcontext()
    return torch.autocast("cpu", dtype=kinds[precision])


def _texts(values: Sequence[object]) -> list[str]:
    return [str(value) for value in values]
