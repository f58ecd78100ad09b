"""What features tell without labels: their spread and their rank, on images decoded once."""

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

#: Most memory that the decoded images may take, in bytes.
MAX_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Signals:
    """One look at the features.

    Attributes:
        std: Spread of the directions, see `embedding_std`, in [0, 1].
        rank: RankMe of the features as they are, in [1, min(N, D)].
        directions: Among how many dimensions the differences between images are spread, see
            `num_directions`, in [1, min(N - 1, D)]; 0 where there are no differences.
        num_images: N.
        feature_dim: D.
    """

    std: float
    rank: float
    directions: float
    num_images: int
    feature_dim: int

    def metrics(self) -> dict[str, float]:
        """Return the numbers under the names that they are logged with."""
        return {
            "embedding/std": self.std,
            "rank/rankme": self.rank,
            "rank/effective": self.directions,
        }


def measure(features: Tensor) -> Signals | None:
    """Compute the signals of features (N, D); None where fewer than two rows are finite."""
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
    """Looks at the same images again and again; they are decoded at the first look only.

    Args:
        source: The images.
        transform: Makes a network's input of an image, without randomness.
        num_images: Images to look at, fewer where there are fewer or they exceed `max_bytes`.
        seed: Decides which.
        max_bytes: Most memory for them.
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
        # In the order drawn: where memory ends early, what was read is still a fair sample.
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
        """Compute the signals; None where no two images give finite features.

        The model's mode, its buffers and torch's random state are kept.

        Args:
            wrapper: Model with its parameters on `device`.
            device: Where features are computed.
            num_workers: Processes that read images, the first time.
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
                # A copy: what workers hand over stays in shared memory, which is scarce.
                batches.append(RawBatch([pixels.clone()], batch.parameters[:1], batch.indices))
        return batches
