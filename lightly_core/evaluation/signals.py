"""Signals of features that need no labels: standard deviation and rank, on a fixed sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lightly_core.contracts import ModelWrapper, Transform
from lightly_core.data.base import ImageSource
from lightly_core.data.dataset import RawBatch, build_eval_loader
from lightly_core.evaluation.features import extract_features
from lightly_core.evaluation.rank import embedding_std, num_directions, rankme

#: Maximum memory of the decoded images, in bytes.
MAX_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Signals:
    """Signals of one measurement.

    Attributes:
        std: Standard deviation of the normalised features, see `embedding_std`, in [0, 1].
        rank: RankMe of the raw features, in [1, min(N, D)].
        directions: Effective number of dimensions in which images differ, see `num_directions`,
            in [1, min(N - 1, D)]; 0 if there are no differences.
        num_images: N.
        feature_dim: D.
    """

    std: float
    rank: float
    directions: float
    num_images: int
    feature_dim: int

    def metrics(self) -> dict[str, float]:
        """Return the signals by the names of their metrics."""
        return {
            "embedding/std": self.std,
            "rank/rankme": self.rank,
            "rank/effective": self.directions,
        }


def measure(features: Tensor) -> Signals | None:
    """Compute the signals of features (N, D); None if fewer than two rows are finite."""
    rows = features[torch.isfinite(features).all(dim=1)]
    if len(rows) < 2:
        return None
    return Signals(
        std=embedding_std(rows),
        rank=rankme(rows),
        directions=num_directions(rows),
        num_images=len(rows),
        feature_dim=rows.shape[1],
    )


class SignalProbe:
    """Measures signals on a fixed sample of images, which are decoded once.

    Args:
        source: The images.
        transform: Converts an image to the network's input, without randomness.
        num_images: Maximum number of images; fewer if they exceed `max_bytes`.
        seed: Seed of the sample.
        max_bytes: Maximum memory of the decoded images.
    """

    def __init__(
        self,
        source: ImageSource,
        transform: Transform,
        *,
        num_images: int,
        seed: int,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._source = source
        self._transform = transform
        self._max_bytes = max_bytes
        # In random order: if memory limits the number of images, they are still a random sample.
        order = np.random.default_rng(seed).permutation(len(source))
        self._indices = order[:num_images].tolist()
        self._batches: list[RawBatch] | None = None

    def run(
        self,
        wrapper: ModelWrapper,
        device: torch.device | str,
        *,
        num_workers: int = 0,
        batch_size: int = 64,
        precision: torch.dtype | None = None,
        channels_last: bool = False,
    ) -> Signals | None:
        """Compute the signals; None if fewer than two images have finite features.

        The model's mode, its buffers and torch's random state are restored.

        Args:
            wrapper: Model with its parameters on `device`.
            device: Where features are computed.
            num_workers: Processes that read images in the first call.
            batch_size: Images per forward.
            precision: As in `extract_features`.
            channels_last: As in `extract_features`.
        """
        if self._batches is None:
            self._batches = self._read(num_workers, batch_size)
        features, _ = extract_features(
            wrapper,
            self._batches,
            self._transform,
            device,
            precision=precision,
            channels_last=channels_last,
        )
        return measure(features)

    def _read(self, num_workers: int, batch_size: int) -> list[RawBatch]:
        loader = build_eval_loader(
            self._source,
            self._indices,
            self._transform,
            batch_size=batch_size,
            num_workers=min(num_workers, -(-len(self._indices) // batch_size)),
        )
        batches: list[RawBatch] = []
        size = 0
        with torch.random.fork_rng(devices=[]):
            for batch in loader:
                pixels = batch.pixels[0]
                size += pixels.nbytes
                if batches and size > self._max_bytes:
                    break
                # A copy: tensors from workers are in shared memory, which is limited.
                batches.append(RawBatch([pixels.clone()], batch.parameters[:1], batch.indices))
        return batches
