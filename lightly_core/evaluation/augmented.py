"""Random crops of labelled images, for protocols that compute features again in every epoch."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightly_core.config.options.augmentations import (
    ChannelDropArgs,
    NormalizeArgs,
    RandomResizeArgs,
)
from lightly_core.config.options.transform import TransformArgs
from lightly_core.contracts import Sample, Transform
from lightly_core.data.dataset import RawBatch, collate_readable
from lightly_core.data.decode import smallest_useful_side
from lightly_core.data.encoded import DecodedSource
from lightly_core.data.labels import LabelledImages
from lightly_core.data.loader import make_loader
from lightly_core.data.loading import load_or_reason
from lightly_core.data.reading import sample_rng
from lightly_core.data.sampler import StepSampler
from lightly_core.data.views.two_stage import EvalTransform, TwoStageTransform


class LabelledBatches:
    """Batches of random crops with the classes of their images, epoch by epoch.

    An epoch depends only on the seed and its number. As in pretraining, the last, incomplete
    batch of an epoch is skipped; its images differ from epoch to epoch.

    Args:
        images: The images.
        transform: Creates the crops.
        batch_size: Images of a batch; reduced to the number of images.
        epochs: Number of epochs. While an epoch ends, workers begin with the next one.
        num_workers: Processes that read images.
        seed: Seed of the order and the crops.

    Attributes:
        transform: Creates the crops.
        batch_size: Images of a batch.
        skipped: Positions in the source of images that could not be read; they are missing from
            their batch.
    """

    def __init__(
        self,
        images: LabelledImages,
        transform: TwoStageTransform,
        *,
        batch_size: int,
        epochs: int,
        num_workers: int,
        seed: int,
    ) -> None:
        self.transform = transform
        self.batch_size = min(batch_size, len(images))
        self.skipped: set[int] = set()
        self._indices = torch.from_numpy(images.indices)
        self._targets = torch.from_numpy(images.targets)
        self._sampler = StepSampler(len(images), self.batch_size, seed=seed)
        self._loader = make_loader(
            _Crops(_in_full(images, transform), transform, seed),
            collate_readable,
            num_workers=num_workers,
            batch_sampler=self._sampler,
            end_epoch=epochs,
        )

    def __len__(self) -> int:
        """Return the number of steps of an epoch."""
        return len(self._sampler)

    def epoch(self, number: int) -> Iterator[tuple[RawBatch, Tensor]]:
        """Yield batches and the classes of their images, (B,) int64 on the CPU, B >= 1."""
        self._sampler.set_epoch(number)
        for batch in self._loader:
            assert isinstance(batch, RawBatch)  # from `collate_readable`
            self.skipped.update(index for index, _, _ in batch.skipped)
            if len(batch.indices):
                yield batch, self._targets[torch.searchsorted(self._indices, batch.indices)]


def _in_full(images: LabelledImages, transform: TwoStageTransform) -> LabelledImages:
    """Limit the shrinking of JPEGs while decoding to what the smallest crops allow."""
    if not isinstance(images.source, DecodedSource):
        return images
    source = copy.copy(images.source)
    source.min_side = smallest_useful_side(transform.specs)
    return replace(images, source=source)


class _Crops(Dataset[Sample]):
    """Keys are ``(epoch, position)``; an unreadable image gives a sample with ``skipped`` set."""

    def __init__(self, images: LabelledImages, transform: Transform, seed: int) -> None:
        self._images = images
        self._transform = transform
        self._seed = seed

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        epoch, position = key
        source, index = self._images.source, int(self._images.indices[position])
        rng = sample_rng(self._seed, epoch, index)
        loaded = load_or_reason(source, index)
        if not isinstance(loaded, str):
            return self._transform.sample(loaded, rng, index)
        blank = np.zeros((32, 32, source.num_channels), np.uint8)  # `collate_readable` drops it
        sample = self._transform.sample(blank, rng, index)
        sample.skipped = [(index, source.name(index), loaded)]
        return sample


def crop_transform(base: EvalTransform, min_scale: float) -> TwoStageTransform:
    """Return a transform of random resized crops and flips that otherwise matches `base`.

    Args:
        base: Transform of the evaluation, with size, normalisation, channels and interpolation.
        min_scale: Smallest area of a crop, as a fraction of the image.
    """
    drop = None
    if base.kept is not None:
        # A weight of zero always keeps a channel, so exactly the others are dropped.
        weights = [float(channel not in base.kept) for channel in range(base.source_channels)]
        drop = ChannelDropArgs(num_channels_keep=len(base.kept), weight_drop=tuple(weights))
    return TwoStageTransform(
        TransformArgs(
            image_size=base.size,
            num_channels="auto" if drop is not None else base.num_channels,
            channel_drop=drop,
            random_resize=RandomResizeArgs(min_scale=min_scale),
            color_jitter=None,
            random_gray_scale=None,
            gaussian_blur=None,
            normalize=NormalizeArgs(mean=tuple(base.mean), std=tuple(base.std)),
            interpolation="bilinear" if base.interpolation == "bilinear" else "bicubic",
        )
    )
