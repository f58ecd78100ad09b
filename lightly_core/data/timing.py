"""Times of the work in a loader that makes a batch, for the profile of a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from attrs import define, field, frozen
from PIL import Image

from lightly_core.contracts import Sample
from lightly_core.data.base import ImageSource, Labels
from lightly_core.data.views.worker import image_size

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from lightly_core.data.dataset import RawBatch, TrainingDataset


@frozen
class BatchTimes:
    """What the samples of one batch took in the process that made them.

    Attributes:
        read: Seconds for opening and decoding the files.
        views: Seconds for all else: the first stage of the views, extras, and stacking.
        images: Number of images that were read.
        pixels: Sum of their pixels, before a JPEG is shrunk.
    """

    read: float
    views: float
    images: int
    pixels: int


@define(eq=False)
class Stopwatch:
    """Adds up the times of a batch. Each worker process has its own copy."""

    _started: float | None = field(default=None, init=False)
    _read: float = field(default=0.0, init=False)
    _images: int = field(default=0, init=False)
    _pixels: int = field(default=0, init=False)

    def begin(self) -> float:
        """Return the time; the first call after `take` begins a batch."""
        now = time.perf_counter()
        if self._started is None:
            self._started = now
        return now

    def add(self, seconds: float, pixels: int) -> None:
        """Add an image that was read."""
        self._read += seconds
        self._images += 1
        self._pixels += pixels

    def take(self) -> BatchTimes:
        """Return the times since the batch began, and begin again."""
        now = time.perf_counter()
        whole = now - (now if self._started is None else self._started)
        times = BatchTimes(self._read, max(whole - self._read, 0.0), self._images, self._pixels)
        self._started, self._read, self._images, self._pixels = None, 0.0, 0, 0
        return times


class TimedSource(ImageSource):
    """A source whose reading is timed.

    Args:
        source: The images.
        watch: Adds up the times.
    """

    def __init__(self, source: ImageSource, watch: Stopwatch) -> None:
        self._source = source
        self._watch = watch
        self.num_channels = source.num_channels

    def __len__(self) -> int:
        return len(self._source)

    def name(self, index: int) -> str:
        """See `ImageSource.name`."""
        return self._source.name(index)

    def load(self, index: int) -> Image.Image | npt.NDArray[Any]:
        """See `ImageSource.load`."""
        started = self._watch.begin()
        image = self._source.load(index)
        height, width = image_size(image)
        self._watch.add(time.perf_counter() - started, height * width)
        return image

    def load_shrunk(
        self, index: int, least_scale: Callable[[tuple[int, int]], float]
    ) -> Image.Image | npt.NDArray[Any]:
        """See `ImageSource.load_shrunk`. The time of `least_scale` does not count as reading."""
        sizes: list[tuple[int, int]] = []
        planned = 0.0

        def timed(size: tuple[int, int]) -> float:
            nonlocal planned
            began = time.perf_counter()
            sizes.append(size)
            scale = least_scale(size)
            planned += time.perf_counter() - began
            return scale

        started = self._watch.begin()
        image = self._source.load_shrunk(index, timed)
        height, width = sizes[0] if sizes else image_size(image)
        self._watch.add(time.perf_counter() - started - planned, height * width)
        return image

    def read(self, index: int) -> bytes | None:
        """See `ImageSource.read`."""
        return self._source.read(index)

    def labels(self) -> Labels | None:
        """See `ImageSource.labels`."""
        return self._source.labels()

    def why_no_labels(self) -> str:
        """See `ImageSource.why_no_labels`."""
        return self._source.why_no_labels()

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """See `ImageSource.begin_epoch`."""
        self._source.begin_epoch(seed, epoch)

    def order(self, seed: int, epoch: int) -> npt.NDArray[np.int64] | None:
        """See `ImageSource.order`."""
        return self._source.order(seed, epoch)


@define(eq=False)
class TimedCollate:
    """Combines samples, and records the times of the batch in it.

    Args:
        collate: Combines samples.
        watch: Adds up the times.
    """

    _collate: Callable[[Any], Any]
    _watch: Stopwatch

    def __call__(self, samples: Sequence[Sample]) -> RawBatch:
        """Return the batch of some samples."""
        batch: RawBatch = self._collate(samples)
        batch.times = self._watch.take()
        return batch


def time_batches(loader: DataLoader[Sample]) -> None:
    """Let every batch of a loader of `build_loader` hold its `BatchTimes`."""
    watch = Stopwatch()
    dataset: TrainingDataset = loader.dataset  # type: ignore[assignment]
    dataset.source = TimedSource(dataset.source, watch)
    loader.collate_fn = TimedCollate(loader.collate_fn, watch)
