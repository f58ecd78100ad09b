"""A fixed sample of images, decoded once and kept in memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lightly_core.contracts import Transform
from lightly_core.data.base import ImageSource
from lightly_core.data.dataset import RawBatch, build_eval_loader

#: Maximum memory of the decoded images of one sample, in bytes.
MAX_BYTES = 256 * 2**20


class ImageSample:
    """Images that are measured several times in a run.

    Args:
        source: The images.
        indices: Positions in the source.
        transform: Converts an image to the network's input, without randomness.
        max_bytes: Maximum memory of the decoded images; the images after it are left out.
    """

    def __init__(
        self,
        source: ImageSource,
        indices: Sequence[int],
        transform: Transform,
        *,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.source = source
        self.indices = indices
        self.transform = transform
        self._max_bytes = max_bytes
        self._batches: list[RawBatch] | None = None

    def batches(self, num_workers: int, batch_size: int = 64) -> list[RawBatch]:
        """Return the images in batches. The first call decodes them.

        Torch's random state is restored. Unreadable images are missing.

        Args:
            num_workers: Processes that read images in the first call.
            batch_size: Images of a batch in the first call.
        """
        if self._batches is None:
            self._batches = self._read(num_workers, batch_size)
        return self._batches

    def _read(self, num_workers: int, batch_size: int) -> list[RawBatch]:
        loader = build_eval_loader(
            self.source,
            self.indices,
            self.transform,
            batch_size=batch_size,
            num_workers=min(num_workers, -(-len(self.indices) // batch_size)),
        )
        batches: list[RawBatch] = []
        size = 0
        with torch.random.fork_rng(devices=[]):
            for batch in loader:
                if len(batch.indices) == 0:
                    continue
                pixels = batch.pixels[0]
                size += pixels.nbytes
                if batches and size > self._max_bytes:
                    break
                # A copy: tensors from workers are in shared memory, which is limited.
                batches.append(RawBatch([pixels.clone()], batch.parameters[:1], batch.indices))
        return batches
