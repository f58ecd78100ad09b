"""Signals of features that need no labels: standard deviation and rank, on a fixed sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lightly_core.contracts import ModelWrapper, Transform
from lightly_core.data.base import ImageSource
from lightly_core.evaluation.features import extract_features
from lightly_core.evaluation.rank import embedding_std, num_directions, rankme
from lightly_core.evaluation.sample import MAX_BYTES, ImageSample


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
        # In random order: if memory limits the number of images, they are still a random sample.
        order = np.random.default_rng(seed).permutation(len(source))
        indices = order[:num_images].tolist()
        self._sample = ImageSample(source, indices, transform, max_bytes=max_bytes)

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
        features, _ = extract_features(
            wrapper,
            self._sample.batches(num_workers, batch_size),
            self._sample.transform,
            device,
            precision=precision,
            channels_last=channels_last,
        )
        return measure(features)
