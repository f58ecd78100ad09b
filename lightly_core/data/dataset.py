"""From images to batches of uint8 views: what the loader's workers do.

A sample depends on the seed, the epoch (where views repeat: the epoch within the period) and the
image only. Number of workers, number of processes and a resume in the middle of an epoch change
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from attrs import define, evolve, field
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from lightly_core.contracts import Sample, SampleExtras, Transform
from lightly_core.data.base import ImageSource
from lightly_core.data.heard import Note, listening
from lightly_core.data.loader import make_loader
from lightly_core.data.names import shown
from lightly_core.data.pixels import UnreadableImage
from lightly_core.data.sampler import EXTRAS_STREAM, SAMPLE_STREAM, StepSampler
from lightly_core.data.skipped import Skipped
from lightly_core.errors import DataError

#: So many images are tried before the search for a replacement ends: the next ones, then, where a
#: whole folder cannot be read, others that are spread over the source.
MAX_TRIES = 100
_IN_A_ROW = 50


@define(eq=False)
class RawBatch:
    """Samples of one batch before the device's stage.

    No dataclass: Lightning looks into these and would round the parameters to half precision.

    Attributes:
        pixels: One tensor (B, C, H, W) a view, uint8 or float32 in [0, 1].
        parameters: One float32 tensor (B, P) a view, always on the CPU.
        indices: Position of each image in the source, (B,) int64.
        extras: Stacked `Sample.extras`, first dimension B.
        skipped: Index, name and reason of images that could not be read.
        notes: Name of an image and what a library said while it was read.
        view_ids: Stacked `Sample.view_id`, (B,) int64, always on the CPU.
        crops: Stacked `Sample.crops`, one (B, 6) a view, or nothing.
    """

    pixels: list[Tensor]
    parameters: list[Tensor]
    indices: Tensor
    extras: dict[str, Tensor] = field(factory=dict)
    skipped: list[Skipped] = field(factory=list)
    view_ids: Tensor | None = None
    crops: list[Tensor] = field(factory=list)
    notes: list[Note] = field(factory=list)

    def map_tensors(self, function: Callable[[Tensor], Tensor]) -> RawBatch:
        """Return a copy with `function` applied to all tensors but parameters and view ids."""
        return evolve(
            self,
            pixels=[function(view) for view in self.pixels],
            indices=function(self.indices),
            extras={name: function(extra) for name, extra in self.extras.items()},
            crops=[function(crop) for crop in self.crops],
        )

    def pin_memory(self) -> RawBatch:
        """Return a copy that can be moved to a GPU without waiting."""
        return self.map_tensors(Tensor.pin_memory)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> RawBatch:
        """Return a copy with everything but the parameters and view ids on a device."""
        return self.map_tensors(lambda tensor: tensor.to(device, non_blocking=non_blocking))


class TrainingDataset(Dataset[Sample]):
    """Decodes an image and runs the transform's first stage; keys are ``(epoch, index)``.

    An image that cannot be read is replaced by the next one that can, counted around the end.

    Args:
        source: The images.
        transform: Its first stage is used.
        seed: Seed of all samples.
        view_period: After how many epochs the samples repeat; None: never.
        make_extras: What a method wants made for each image; None: nothing.
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

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """Return the sample of one image in one epoch.

        Raises:
            DataError: Neither the image nor 99 others, or all, can be read.
        """
        epoch, asked = key
        drawn = self.drawn_epoch(epoch)
        size = len(self.source)
        skipped: list[Skipped] = []
        notes: list[Note] = []
        for index in replacements(asked, size):
            loaded = load_or_reason(self.source, index, notes)
            if isinstance(loaded, str):
                skipped.append((index, self.source.name(index), loaded))
                continue
            sample = self.transform.sample(loaded, sample_rng(self.seed, drawn, asked), index)
            sample.extras.update(self.extras(drawn, asked))
            sample.skipped, sample.notes = skipped, notes
            # Another image in this place need not come back: the file may be readable next time.
            if index == asked:
                sample.view_id = self.view_id(asked, drawn)
            return sample
        raise none_readable(skipped)

    def extras(self, drawn_epoch: int, index: int) -> Mapping[str, Tensor]:
        """Return what the method wants made for an image."""
        if self.make_extras is None:
            return {}
        return self.make_extras(extras_rng(self.seed, drawn_epoch, index))

    def drawn_epoch(self, epoch: int) -> int:
        """Return the epoch whose random numbers an epoch has."""
        return epoch if self.view_period is None else epoch % self.view_period

    def view_id(self, index: int, drawn_epoch: int) -> int:
        """Return the number of an image's views among all that differ, or -1; see `Batch`."""
        return -1 if self.view_period is None else index * self.view_period + drawn_epoch


class EvaluationDataset(Dataset[Sample]):
    """Chosen images, each on its own: one that cannot be read is left out, never replaced.

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
        """Return a sample; where the image cannot be read, a blank one with ``skipped`` set."""
        index = int(self.indices[position])
        rng = sample_rng(0, 0, index)
        notes: list[Note] = []
        loaded = load_or_reason(self.source, index, notes)
        image = self._blank() if isinstance(loaded, str) else loaded
        sample = self.transform.sample(image, rng, index)
        sample.notes = notes
        if isinstance(loaded, str):
            sample.skipped = [(index, self.source.name(index), loaded)]
        return sample

    def _blank(self) -> npt.NDArray[np.uint8]:
        """Return an image that stands for an unreadable one until `collate_readable`."""
        return np.zeros((32, 32, self.source.num_channels), np.uint8)


def load_or_reason(
    source: ImageSource, index: int, notes: list[Note] | None = None
) -> Image.Image | npt.NDArray[Any] | str:
    """Load an image, or return in a few words why that is impossible.

    Args:
        source: The images.
        index: Position in the source.
        notes: What libraries say meanwhile is added here; None: it is lost.
    """
    with listening() as heard:
        loaded = _load_or_reason(source, index)
    if notes is not None:
        notes.extend((source.name(index), text) for text in heard)
    return loaded


def _load_or_reason(source: ImageSource, index: int) -> Image.Image | npt.NDArray[Any] | str:
    try:
        return source.load(index)
    except UnreadableImage as error:
        return str(error)
    except MemoryError:
        raise
    except Exception as error:  # the user's own dataset may raise anything
        text = " ".join(str(error).split())
        return f"{type(error).__name__}: {text}"[:200]


def replacements(asked: int, size: int) -> Iterator[int]:
    """Yield the positions that may stand for an image: itself, the next ones, then others.

    Args:
        asked: Position of the image.
        size: Images of the source, N; all are yielded in order if they are 100 or fewer.
    """
    if size <= MAX_TRIES:
        yield from ((asked + step) % size for step in range(size))
        return
    yield from ((asked + step) % size for step in range(_IN_A_ROW))
    rest = MAX_TRIES - _IN_A_ROW
    first, wide = asked + _IN_A_ROW, size - _IN_A_ROW
    yield from ((first + step * wide // rest) % size for step in range(rest))


def none_readable(skipped: Sequence[Skipped]) -> DataError:
    """Return the error for a place that no image can be shown in."""
    first = ", ".join(f"'{shown(name)}' ({shown(reason)})" for _, name, reason in skipped[:3])
    return DataError(f"none of {len(skipped)} images tried can be read, such as {first}")


def sample_rng(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Return the random numbers of one image in one epoch.

    The counter of Philox is split by epoch and index, so no two samples share any number.
    """
    bits = np.random.Philox(key=[seed, SAMPLE_STREAM], counter=[0, index, epoch, 0])
    return np.random.Generator(bits)


def extras_rng(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Return the random numbers of an image's extras; as `sample_rng`, and none of its numbers."""
    bits = np.random.Philox(key=[seed, EXTRAS_STREAM], counter=[0, index, epoch, 0])
    return np.random.Generator(bits)


def collate(samples: Sequence[Sample]) -> RawBatch:
    """Stack samples.

    Args:
        samples: At least one, all with the same views and extras.

    Returns:
        Pixels as uint8 where all images of a view are uint8, else float32 in [0, 1].
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
    """Stack the samples that were read, which may be none: then B is 0."""
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
        pin_memory: Whether batches are put where a GPU can fetch them.
        loader_args: Further arguments of torch's DataLoader.
        view_period: After how many epochs the samples repeat; None: never.
        make_extras: See `lightly_core.contracts.Method.sample_extras`.

    Raises:
        ConfigError: `loader_args` holds a wrong or a reserved name, or a wrong value.
        ValueError: The source is smaller than one batch of all processes.
    """
    sampler = StepSampler(
        len(source), per_device_batch_size, seed=seed, rank=rank, world_size=world_size
    )
    return make_loader(
        TrainingDataset(source, transform, seed, view_period, make_extras),
        collate,
        num_workers=num_workers,
        loader_args={"pin_memory": pin_memory, **(loader_args or {})},
        batch_sampler=sampler,
    )


def build_eval_loader(
    source: ImageSource,
    indices: Sequence[int],
    transform: Transform,
    *,
    batch_size: int,
    num_workers: int = 0,
) -> torch.utils.data.DataLoader[Sample]:
    """Build a loader over chosen images in the given order, the last batch may be smaller.

    Images that cannot be read are missing from the batches and listed in ``skipped``; a batch
    can therefore have B = 0.

    Args:
        source: The images.
        indices: Positions in the source.
        transform: Its first stage runs in the workers; should not be random.
        batch_size: Images of one batch.
        num_workers: Worker processes; 0 loads in this one.
    """
    return make_loader(
        EvaluationDataset(source, indices, transform),
        collate_readable,
        num_workers=num_workers,
        batch_size=batch_size,
    )


def _stack_pixels(images: list[Tensor]) -> Tensor:
    if any(image.dtype != torch.uint8 for image in images):
        images = [image / 255 if image.dtype == torch.uint8 else image for image in images]
    return _stack(images)


def _stack(tensors: list[Tensor]) -> Tensor:
    # Not torch.stack: inside a worker this writes to shared memory at once, without a copy.
    stacked: Tensor = default_collate(tensors)
    return stacked
