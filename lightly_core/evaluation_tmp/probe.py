"""The proof of a run: accuracy of the frozen features on the user's own labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lightly_core.config.settings import KnnArgs
from lightly_core.data.base import ImageSource, Labels
from lightly_core.data.dataset import build_eval_loader
from lightly_core.errors import RunError
from lightly_core.evaluate.features import extract_features
from lightly_core.evaluate.knn import KnnResult, Split, split, weighted_knn
from lightly_core.protocols import ModelWrapper, Transform


class LabelledProbe:
    """Chooses the images once, so that runs of it before and after training compare.

    Args:
        source: The images, with labels or without.
        args: How many images, and how they are compared.
        transform: Makes a network's input of an image, without randomness.
        seed: Decides which images are taken.

    Attributes:
        reason: Why there is nothing to measure; None where there is.
    """

    def __init__(
        self, source: ImageSource, args: KnnArgs, transform: Transform, *, seed: int
    ) -> None:
        self._source = source
        self._args = args
        self._transform = transform
        self._labels = source.labels()
        self._split: Split | None = None
        if self._labels is not None:
            self._split = split(
                self._labels.targets,
                max_images=args.max_images,
                query_fraction=args.query_fraction,
                seed=seed,
            )
        self.reason = _why_not(self._labels, self._split)

    @property
    def available(self) -> bool:
        """Whether `run` can be called."""
        return self.reason is None

    def run(
        self,
        wrapper: ModelWrapper,
        device: torch.device | str,
        *,
        num_workers: int = 0,
        batch_size: int = 64,
        precision: torch.dtype | None = None,
        channels_last: bool = False,
    ) -> KnnResult:
        """Classify some of the images by the others.

        The model's mode, its buffers and torch's random state are kept. Images that cannot be
        read, or whose features are not finite, are left out, and a note says how many.

        Args:
            wrapper: Model with its parameters on `device`.
            device: Where features are computed.
            num_workers: Processes that read images.
            batch_size: Images per forward.
            precision: As in `extract_features`.
            channels_last: As in `extract_features`.

        Returns:
            Accuracies, counts and notes.

        Raises:
            RunError: No image is left on one of the two sides.
            ValueError: The probe is not available.
        """
        if self.reason is not None or self._labels is None or self._split is None:
            raise ValueError(f"no kNN accuracy: {self.reason}")
        loader = build_eval_loader(
            self._source,
            [*self._split.train.tolist(), *self._split.query.tolist()],
            self._transform,
            batch_size=batch_size,
            num_workers=num_workers,
        )
        features, indices = extract_features(
            wrapper,
            loader,
            self._transform,
            device,
            precision=precision,
            channels_last=channels_last,
        )
        return self._classify(features, indices, self._labels, self._split)

    def _classify(
        self, features: Tensor, indices: Tensor, labels: Labels, parts: Split
    ) -> KnnResult:
        finite = torch.isfinite(features).all(dim=1)
        rows = {index: row for row, index in enumerate(indices.tolist()) if finite[row]}
        train = [index for index in parts.train.tolist() if index in rows]
        query = [index for index in parts.query.tolist() if index in rows]
        num_lost = len(parts.train) + len(parts.query) - len(train) - len(query)
        if not train or not query:
            raise RunError(_nothing_left(num_lost, int((~finite).sum())))
        targets = torch.from_numpy(labels.targets)
        result = weighted_knn(
            features[[rows[index] for index in train]],
            targets[train],
            features[[rows[index] for index in query]],
            targets[query],
            num_classes=len(labels.classes),
            k=self._args.k,
            temperature=self._args.temperature,
        )
        return replace(result, notes=(*result.notes, *_notes(parts, num_lost)))


def _why_not(labels: Labels | None, parts: Split | None) -> str | None:
    if labels is None or parts is None:
        return "no labels: the images are not in one folder for each class"
    present = np.unique(labels.targets)
    if len(present) < 2:
        return f"no labels to tell apart: all images are of one class ({labels.origin})"
    if len(np.unique(labels.targets[parts.query])) < 2:
        return (
            f"too few labels: of {len(present)} classes, fewer than two have two images or more "
            f"({labels.origin})"
        )
    return None


def _notes(parts: Split, num_lost: int) -> list[str]:
    counts = {
        "classes left out because they have one image": parts.num_single,
        "classes left out to stay within max_images": parts.num_excess,
        "images left out, unreadable or with features not finite": num_lost,
    }
    return [f"{what}: {count}" for what, count in counts.items() if count]


def _nothing_left(num_lost: int, num_not_finite: int) -> str:
    return (
        f"no kNN accuracy: {num_lost} images dropped out, {num_not_finite} of them because the "
        "model's features are nan or infinite, and too few are left\n  look for unreadable images, "
        "or lower the learning rate; callbacks.knn=none switches the measurement off"
    )
