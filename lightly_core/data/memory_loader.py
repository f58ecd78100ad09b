"""Batches from images in memory: the same samples as those of `build_loader`, without workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lightly_core.contracts import Sample
from lightly_core.contracts.data import InMemoryTransform
from lightly_core.data.dataset import RawBatch, TrainingDataset
from lightly_core.data.loading import none_readable, replacements
from lightly_core.data.memory import ImageMemory
from lightly_core.data.reading import sample_rng
from lightly_core.data.sampler import StepSampler
from lightly_core.data.skipped import Skipped

Key: TypeAlias = tuple[int, int]

# Minimum number of images whose random numbers are sampled at once: a call costs at least a
# millisecond, and much larger arrays do not fit into the processor's cache.
_SAMPLED_TOGETHER = 256


class MemoryLoader:
    """Yields the batches of an epoch; replaces torch's DataLoader.

    Order, replacements of unreadable images and all random numbers equal those of the loader with
    workers. Pixels differ only by the rounding of `resample`.

    Args:
        memory: All images.
        transform: Creates the views.
        loader: The loader of `build_loader`, which defines order, seed and view period.
        device: Where views are computed.
    """

    def __init__(
        self,
        memory: ImageMemory,
        transform: InMemoryTransform,
        loader: DataLoader[Sample],
        device: torch.device,
    ) -> None:
        assert isinstance(loader.dataset, TrainingDataset)
        assert isinstance(loader.batch_sampler, StepSampler)
        self.memory = memory
        self.dataset = loader.dataset
        self.batch_sampler = loader.batch_sampler
        self._views = transform.from_memory(
            memory.images, seed=self.dataset.seed, make_generator=sample_rng, device=device
        )

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[RawBatch]:
        """Yield batches whose pixels are on the device.

        Raises:
            DataError: See `TrainingDataset`.
        """
        for group in _groups(self.batch_sampler):
            keys = [
                (self.dataset.random_epoch(epoch), index)
                for batch in group
                for epoch, index in batch
            ]
            sampled = self._views.sample(keys)
            start = 0
            for batch in group:
                rows = slice(start, start + len(batch))
                yield self._batch(keys[rows], sampled, rows)
                start = rows.stop

    def _batch(self, keys: Sequence[Key], sampled: object, rows: slice) -> RawBatch:
        shown, skipped = self._readable([index for _, index in keys])
        indices = torch.tensor(shown, dtype=torch.int64)
        view_ids = [
            self.dataset.view_id(requested, epoch) if index == requested else -1
            for index, (epoch, requested) in zip(shown, keys, strict=True)
        ]
        pixels, parameters, crops = self._views.make(sampled, rows, indices)
        return RawBatch(
            pixels=pixels,
            parameters=parameters,
            indices=indices,
            extras=self._extras(keys),
            skipped=skipped,
            view_ids=torch.tensor(view_ids, dtype=torch.int64),
            crops=crops,
        )

    def _extras(self, keys: Sequence[Key]) -> dict[str, Tensor]:
        if self.dataset.make_extras is None:
            return {}
        made = [self.dataset.extras(epoch, index) for epoch, index in keys]
        return {name: torch.stack([extras[name] for extras in made]) for name in made[0]}

    def _readable(self, requested: Sequence[int]) -> tuple[list[int], list[Skipped]]:
        """Replace unreadable images by the next readable ones."""
        if not self.memory.unreadable:
            return list(requested), []
        shown: list[int] = []
        skipped: list[Skipped] = []
        for index in requested:
            found, passed = self._next_readable(index)
            shown.append(found)
            skipped += passed
        return shown, skipped

    def _next_readable(self, requested: int) -> tuple[int, list[Skipped]]:
        source, unreadable = self.dataset.source, self.memory.unreadable
        passed: list[Skipped] = []
        for index in replacements(requested, len(source)):
            if index not in unreadable:
                return index, passed
            passed.append((index, source.name(index), unreadable[index]))
        raise none_readable(passed)


def _groups(batches: StepSampler) -> Iterator[list[list[Key]]]:
    """Yield batches in groups of `_SAMPLED_TOGETHER` images or more."""
    group: list[list[Key]] = []
    for batch in batches:
        group.append(batch)
        if sum(map(len, group)) >= _SAMPLED_TOGETHER:
            yield group
            group = []
    if group:
        yield group
