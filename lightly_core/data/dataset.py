"""Datasets, collation and loaders: from images to batches of uint8 views, in worker processes.

A sample depends only on the seed, the image and the epoch. Where views repeat, it depends on the
epoch within the period. The number of workers, the number of processes and a resume in the middle
of an epoch do not change it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from attrs import define, evolve, field
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from lightly_core.contracts import Sample, SampleExtras, Transform
from lightly_core.data.base import ImageSource
from lightly_core.data.library_messages import Note
from lightly_core.data.loader import make_loader
from lightly_core.data.loading import none_readable, replacements
from lightly_core.data.reading import extras_rng, sample_or_reason, sample_rng
from lightly_core.data.sampler import StepSampler
from lightly_core.data.skipped import Skipped
from lightly_core.data.timing import BatchTimes


@define(eq=False)
class RawBatch:
    """Samples of one batch before the second stage of the transform, which runs on the device.

    Not a dataclass: Lightning moves the fields of dataclasses and would round the parameters to
    half precision.

    Attributes:
        pixels: One tensor (B, C, H, W) per view, uint8 or float32 in [0, 1].
        parameters: One float32 tensor (B, P) per view, always on the CPU.
        indices: Position of each image in the source, (B,) int64.
        extras: Stacked `Sample.extras`, first dimension B.
        skipped: Index, name and reason of images that could not be read.
        notes: Name of an image and a message that a library issued while it was read.
        times: What it took to make the batch; None: it was not measured.
        view_ids: Stacked `Sample.view_id`, (B,) int64, always on the CPU.
        crops: Stacked `Sample.crops`, one (B, 6) per view, or empty.
    """

    pixels: list[Tensor]
    parameters: list[Tensor]
    indices: Tensor
    extras: dict[str, Tensor] = field(factory=dict)
    skipped: list[Skipped] = field(factory=list)
    view_ids: Tensor | None = None
    crops: list[Tensor] = field(factory=list)
    notes: list[Note] = field(factory=list)
    times: BatchTimes | None = None

    def map_tensors(self, function: Callable[[Tensor], Tensor]) -> RawBatch:
        """Return a copy with `function` applied to all tensors except parameters and view ids."""
        return evolve(
            self,
            pixels=[function(view) for view in self.pixels],
            indices=function(self.indices),
            extras={name: function(extra) for name, extra in self.extras.items()},
            crops=[function(crop) for crop in self.crops],
        )

    def pin_memory(self) -> RawBatch:
        """Return a copy in pinned memory, which can be moved to a GPU asynchronously."""
        return self.map_tensors(Tensor.pin_memory)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> RawBatch:
        """Return a copy on a device, except for the parameters and view ids."""
        return self.map_tensors(lambda tensor: tensor.to(device, non_blocking=non_blocking))


class TrainingDataset(Dataset[Sample]):
    """Decodes an image and runs the transform's first stage; keys are ``(epoch, index)``.

    An image that cannot be read is replaced by the next readable one. The first image follows
    the last one.

    Args:
        source: The images.
        transform: Its first stage is used.
        seed: Seed of all samples.
        view_period: Number of epochs after which the samples repeat; None: never.
        make_extras: Creates what a method needs for each image, such as masks; None: nothing.
    """

    def __init__(
        self,
        source: ImageSource,
        transform: Transform,
        seed: int,
        view_period: int | None = None,
        make_extras: SampleExtras | None = None,
    ) -> None:
        self.source = source
        self.transform = transform
        self.seed = seed
        self.view_period = view_period
        self.make_extras = make_extras
        self._begun: int | None = None

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """Return the sample of one image in one epoch.

        Raises:
            DataError: Neither the image nor any of up to 99 replacements can be read.
        """
        epoch, requested = key
        if epoch != self._begun:
            self._begun = epoch
            self.source.begin_epoch(self.seed, epoch)
        random_epoch = self.random_epoch(epoch)
        size = len(self.source)
        skipped: list[Skipped] = []
        notes: list[Note] = []
        for index in replacements(requested, size):
            rng = sample_rng(self.seed, random_epoch, requested)
            sample = sample_or_reason(self.source, self.transform, index, rng, notes)
            if isinstance(sample, str):
                skipped.append((index, self.source.name(index), sample))
                continue
            sample.extras.update(self.extras(random_epoch, requested))
            sample.skipped, sample.notes = skipped, notes
            # A replacement has no view id: the requested file may be readable next time.
            if index == requested:
                sample.view_id = self.view_id(requested, random_epoch)
            return sample
        raise none_readable(skipped)

    def extras(self, random_epoch: int, index: int) -> Mapping[str, Tensor]:
        """Return the method's extras of an image, such as masks."""
        if self.make_extras is None:
            return {}
        return self.make_extras(extras_rng(self.seed, random_epoch, index))

    def random_epoch(self, epoch: int) -> int:
        """Return the epoch whose random numbers are used: the epoch within the view period."""
        return epoch if self.view_period is None else epoch % self.view_period

    def view_id(self, index: int, random_epoch: int) -> int:
        """Return the id of an image's views, or -1 if views do not repeat; see `Batch`."""
        return -1 if self.view_period is None else index * self.view_period + random_epoch


class EvaluationDataset(Dataset[Sample]):
    """Chosen images in a given order. Unreadable images are skipped, not replaced.

    Args:
        source: The images.
        indices: Positions in the source.
        transform: Its first stage is used; should not be random.
    """

    def __init__(self, source: ImageSource, indices: Sequence[int], transform: Transform) -> None:
        self.source = source
        self.indices = np.asarray(indices, np.int64)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> Sample:
        """Return a sample; if the image cannot be read, a blank one with ``skipped`` set."""
        index = int(self.indices[position])
        rng = sample_rng(0, 0, index)
        notes: list[Note] = []
        sample = sample_or_reason(self.source, self.transform, index, rng, notes)
        if isinstance(sample, str):
            reason, sample = sample, self.transform.sample(self._blank(), rng, index)
            sample.skipped = [(index, self.source.name(index), reason)]
        sample.notes = notes
        return sample

    def _blank(self) -> npt.NDArray[np.uint8]:
        """Return a placeholder for an unreadable image; `collate_readable` removes it."""
        return np.zeros((32, 32, self.source.num_channels), np.uint8)


def collate(samples: Sequence[Sample]) -> RawBatch:
    """Stack samples.

    Args:
        samples: At least one, all with the same views and extras.

    Returns:
        A batch; the pixels of a view are uint8 if all its images are, else float32 in [0, 1].
    """
    first = samples[0]
    views = range(len(first.views))
    return RawBatch(
        pixels=[_stack_pixels([sample.views[view] for sample in samples]) for view in views],
        parameters=[
            torch.stack([sample.parameters[view] for sample in samples])
            for view in range(len(first.parameters))
        ],
        indices=torch.tensor([sample.index for sample in samples], dtype=torch.int64),
        extras={name: _stack([sample.extras[name] for sample in samples]) for name in first.extras},
        skipped=[row for sample in samples for row in sample.skipped],
        view_ids=torch.tensor([sample.view_id for sample in samples], dtype=torch.int64),
        crops=[
            _stack([sample.crops[view] for sample in samples]) for view in range(len(first.crops))
        ],
        notes=[note for sample in samples for note in sample.notes],
    )


def collate_readable(samples: Sequence[Sample]) -> RawBatch:
    """Stack the samples of readable images; B is 0 if no image is readable."""
    kept = [sample for sample in samples if not sample.skipped]
    batch = collate(kept or samples[:1])
    if not kept:
        batch = batch.map_tensors(lambda tensor: tensor[:0])
        batch.parameters = [vectors[:0] for vectors in batch.parameters]
        batch.view_ids = None
    batch.skipped = [row for sample in samples for row in sample.skipped]
    batch.notes = [note for sample in samples for note in sample.notes]
    return batch


def build_loader(
    source: ImageSource,
    transform: Transform,
    *,
    seed: int,
    per_device_batch_size: int,
    rank: int,
    world_size: int,
    num_workers: int,
    pin_memory: bool,
    loader_args: dict[str, Any] | None = None,
    view_period: int | None = None,
    make_extras: SampleExtras | None = None,
    end_epoch: int | None = None,
) -> torch.utils.data.DataLoader[Sample]:
    """Build the training loader of one process; its ``batch_sampler`` is a `StepSampler`.

    Args:
        source: The images.
        transform: Its first stage runs in the workers.
        seed: Seed of order and samples, the same in all processes.
        per_device_batch_size: Images of one batch of this process.
        rank: Number of this process.
        world_size: Number of processes.
        num_workers: Worker processes; 0 loads in this one.
        pin_memory: Whether batches are put into pinned memory.
        loader_args: Further arguments of torch's DataLoader.
        view_period: Number of epochs after which the samples repeat; None: never.
        make_extras: See `lightly_core.contracts.Method.sample_extras`.
        end_epoch: See `make_loader`.

    Raises:
        ConfigError: `loader_args` has an unknown or reserved name, or an invalid value.
        ValueError: The source is smaller than one global batch.
    """
    sampler = StepSampler(
        len(source),
        per_device_batch_size,
        seed=seed,
        rank=rank,
        world_size=world_size,
        order=source.order,
    )
    return make_loader(
        TrainingDataset(source, transform, seed, view_period, make_extras),
        collate,
        num_workers=num_workers,
        loader_args={"pin_memory": pin_memory, **(loader_args or {})},
        batch_sampler=sampler,
        end_epoch=end_epoch,
    )


def build_eval_loader(
    source: ImageSource,
    indices: Sequence[int],
    transform: Transform,
    *,
    batch_size: int = 1,
    num_workers: int = 0,
    batches: Iterable[list[int]] | None = None,
) -> torch.utils.data.DataLoader[Sample]:
    """Build a loader over chosen images in the given order; the last batch may be smaller.

    Unreadable images are missing from the batches and listed in ``skipped``. A batch can
    therefore have B = 0.

    Args:
        source: The images.
        indices: Positions in the source.
        transform: Its first stage runs in the workers; should not be random.
        batch_size: Images of one batch.
        num_workers: Worker processes; 0 loads in this one.
        batches: Positions in `indices` of the images of each batch, read again in each iteration;
            None: all images in batches of `batch_size`.
    """
    return make_loader(
        EvaluationDataset(source, indices, transform),
        collate_readable,
        num_workers=num_workers,
        batch_size=batch_size,
        batch_sampler=batches,
    )


def _stack_pixels(images: list[Tensor]) -> Tensor:
    if any(image.dtype != torch.uint8 for image in images):
        images = [image / 255 if image.dtype == torch.uint8 else image for image in images]
    last = [image.permute(1, 2, 0) for image in images]  # (H, W, C)
    if last[0].is_contiguous():
        return _stack(last).permute(0, 3, 1, 2)
    return _stack(images)


def _stack(tensors: list[Tensor]) -> Tensor:
    # Not torch.stack: in a worker, default_collate writes directly to shared memory.
    stacked: Tensor = default_collate(tensors)
    return stacked
