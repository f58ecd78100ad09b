"""The order of the images, which depends only on seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

#: Second words of the Philox key: the purpose of a random stream.
ORDER_STREAM, SAMPLE_STREAM, EXTRAS_STREAM = 0, 1, 2


def epoch_order(dataset_size: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return the positions of all images in the order of an epoch, (N,) int64.

    Random numbers are sorted instead of calling `permutation`. NumPy promises never to change
    its bit generators, but may change the methods that use them, and a run must be resumable
    with another version.
    """
    bits = np.random.Philox(key=[seed, ORDER_STREAM], counter=[0, 0, epoch, 0])
    return np.argsort(bits.random_raw(dataset_size), kind="stable")


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

    Raises:
        ValueError: N is smaller than G.
    """

    def __init__(
        self, dataset_size: int, batch_size: int, *, seed: int, rank: int = 0, world_size: int = 1
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
        self._epoch = 0
        self._skip = 0

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
        order = epoch_order(self.dataset_size, self.seed, epoch)
        for step in range(skip, len(self)):
            start = (step * self.world_size + self.rank) * self.batch_size
            yield [(epoch, int(index)) for index in order[start : start + self.batch_size]]
