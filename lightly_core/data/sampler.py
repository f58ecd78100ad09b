"""The order of the images, which depends only on seed and epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

#: Second words of the Philox key: the purpose of a random stream.
ORDER_STREAM, SAMPLE_STREAM, EXTRAS_STREAM, SHARD_STREAM = 0, 1, 2, 3

#: Returns the order of (seed, epoch), see `lightly_core.contracts.ImageSource.order`.
Order: TypeAlias = Callable[[int, int], "npt.NDArray[np.int64] | None"]


def epoch_order(dataset_size: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return the positions of all images in the order of an epoch, (N,) int64.

    Random numbers are sorted instead of calling `permutation`. NumPy promises never to change
    its bit generators, but may change the methods that use them, and a run must be resumable
    with another version.
    """
    bits = np.random.Philox(key=[seed, ORDER_STREAM], counter=[0, 0, epoch, 0])
    return np.argsort(bits.random_raw(dataset_size), kind="stable")


def windowed_order(
    shard_sizes: Sequence[int] | npt.NDArray[np.int64], window: int, seed: int, epoch: int
) -> npt.NDArray[np.int64]:
    """Return an order in which few shards are read at a time.

    The shards are put in random order and joined. The result is cut into windows, and the images
    of each window are put in random order.

    Args:
        shard_sizes: Number of images of each shard, (S,). Images are numbered shard by shard.
        window: Images of a window, at least 1. The last window has up to twice as many.
        seed: Seed of the order.
        epoch: Number of the epoch.

    Returns:
        The positions of all N images, (N,) int64.
    """
    sizes = np.asarray(shard_sizes, np.int64)
    ends = np.cumsum(sizes)
    shards = shard_order(len(sizes), seed, epoch)
    parts = [np.arange(ends[shard] - sizes[shard], ends[shard]) for shard in shards]
    joined = np.concatenate([np.empty(0, np.int64), *parts])
    windows = np.arange(len(joined)) // window
    np.minimum(windows, max(len(joined) // window - 1, 0), out=windows)
    bits = np.random.Philox(key=[seed, ORDER_STREAM], counter=[0, 0, epoch, 0])
    return joined[np.lexsort((bits.random_raw(len(joined)), windows))]


def order_of(dataset_size: int, seed: int, epoch: int, own: Order | None) -> npt.NDArray[np.int64]:
    """Return the order of an epoch, (N,) int64: that of the source if it has one, else uniform."""
    order = None if own is None else own(seed, epoch)
    return epoch_order(dataset_size, seed, epoch) if order is None else order


def shard_order(num_shards: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return the order in which `windowed_order` reaches the shards, (S,) int64."""
    bits = np.random.Philox(key=[seed, SHARD_STREAM], counter=[0, 0, epoch, 0])
    return np.argsort(bits.random_raw(num_shards), kind="stable")


class StepSampler(Sampler[list[tuple[int, int]]]):
    """Yields this process's batches of an epoch as lists of ``(epoch, index)``.

    Of N images in the order of the epoch, global batch k is ``order[k * G : (k + 1) * G]`` with
    G = batch_size * world_size, and process r takes its r-th part of it. The global batch is thus
    the same for every number of processes. The last N % G images of the order are skipped; they
    differ from epoch to epoch.

    Args:
        dataset_size: N, at least G.
        batch_size: Images of one batch of this process.
        seed: Seed of the order.
        rank: r, number of this process.
        world_size: Number of processes.
        order: The order of images that are not read in uniformly random order.

    Raises:
        ValueError: N is smaller than G.
    """

    def __init__(
        self,
        dataset_size: int,
        batch_size: int,
        *,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        order: Order | None = None,
    ) -> None:
        global_batch = batch_size * world_size
        if not 1 <= global_batch <= dataset_size:
            raise ValueError(
                f"expected a global batch of 1 to {dataset_size} images, got {global_batch}"
            )
        self.dataset_size = dataset_size
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.order = order
        self._epoch = 0
        self._skip = 0
        #: An iteration goes on with all epochs below it; with the default it is one epoch.
        self.end_epoch = 0

    @property
    def place(self) -> tuple[int, int]:
        """Epoch and batch at which the next iteration begins."""
        return self._epoch, self._skip

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration; a running iteration keeps its epoch."""
        self._epoch = epoch

    def skip_batches(self, count: int) -> None:
        """Skip the first batches of the next iteration only; the length stays the same."""
        self._skip = count

    def __len__(self) -> int:
        return self.dataset_size // (self.batch_size * self.world_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        # Runs when the first batch is requested. A loader with workers creates two iterators at
        # its start and discards the first one unused, which must not consume the skip.
        epoch, skip, self._skip = self._epoch, self._skip, 0
        for number in range(epoch, max(self.end_epoch, epoch + 1)):
            order = order_of(self.dataset_size, self.seed, number, self.order)
            for step in range(skip if number == epoch else 0, len(self)):
                start = (step * self.world_size + self.rank) * self.batch_size
                yield [(number, int(index)) for index in order[start : start + self.batch_size]]
