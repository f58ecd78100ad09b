"""Accuracy of the frozen features during a run, on the user's own labels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lightly_core.config.options.callbacks import KnnArgs
from lightly_core.contracts import ModelWrapper, Transform
from lightly_core.data.base import ImageSource
from lightly_core.data.dataset import build_eval_loader
from lightly_core.errors import RunError
from lightly_core.evaluation.features import extract_features
from lightly_core.evaluation.knn import KnnResult, weighted_knn
from lightly_core.evaluation.linear_head import HeadScore, score_head
from lightly_core.evaluation.linear_lbfgs import fit_lbfgs
from lightly_core.evaluation.plan import Part, Plan, plan_images


@dataclass(frozen=True, eq=False)
class LabelledFeatures:
    """Features of training images and queries, on the CPU.

    Attributes:
        train: Features of the training images, (N, D) float32.
        train_labels: (N,) int64 in [0, num_classes).
        query: Features of the queries, (M, D) float32.
        query_labels: (M,) int64 in [0, num_classes).
        num_classes: Number of classes.
        notes: Remarks to be reported with the numbers, one sentence each.
    """

    train: Tensor
    train_labels: Tensor
    query: Tensor
    query_labels: Tensor
    num_classes: int
    notes: tuple[str, ...]


class LabelledProbe:
    """Measures accuracies on images that are chosen once, so that its results are comparable.

    Args:
        source: The training images, with labels or without.
        args: Settings of the kNN classifier and number of images.
        transform: Converts an image to the network's input, without randomness.
        seed: Seed of the choice of images.
        val_source: Other images, with labels, to be classified; None: a part of the training
            images is classified by the others.

    Attributes:
        plan: The images; None if there is nothing to measure.
        reason: Why there is nothing to measure, or None.

    Raises:
        DataError: The labels of `val_source` cannot be used, see `plan_validation`.
    """

    def __init__(
        self,
        source: ImageSource,
        args: KnnArgs,
        transform: Transform,
        *,
        seed: int,
        val_source: ImageSource | None = None,
    ) -> None:
        self._args = args
        self._transform = transform
        plan = plan_images(source, args, seed=seed, val_source=val_source)
        self.plan: Plan | None = None if isinstance(plan, str) else plan
        self.reason = plan if isinstance(plan, str) else None

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
        """Compute the features and classify them by their neighbours; see `features`, `knn`."""
        return self.knn(
            self.features(
                wrapper,
                device,
                num_workers=num_workers,
                batch_size=batch_size,
                precision=precision,
                channels_last=channels_last,
            )
        )

    def features(
        self,
        wrapper: ModelWrapper,
        device: torch.device | str,
        *,
        num_workers: int = 0,
        batch_size: int = 64,
        precision: torch.dtype | None = None,
        channels_last: bool = False,
    ) -> LabelledFeatures:
        """Compute the features of both sets.

        The model's mode, its buffers and torch's random state are restored. Unreadable images and
        images whose features are not finite are skipped; a note gives their number.

        Args:
            wrapper: Model with its parameters on `device`.
            device: Where features are computed.
            num_workers: Processes that read images.
            batch_size: Images per forward.
            precision: As in `extract_features`.
            channels_last: As in `extract_features`.

        Raises:
            RunError: No image is left in one of the two sets.
            ValueError: The probe is not available.
        """
        if self.plan is None:
            raise ValueError(f"no kNN accuracy: {self.reason}")

        def part_features(part: Part) -> _PartFeatures:
            loader = build_eval_loader(
                part.source,
                part.indices.tolist(),
                self._transform,
                batch_size=batch_size,
                num_workers=num_workers,
            )
            found = extract_features(
                wrapper,
                loader,
                self._transform,
                device,
                precision=precision,
                channels_last=channels_last,
                total=len(part.indices),
            )
            return _usable(part, *found)

        return _combine(self.plan, part_features(self.plan.train), part_features(self.plan.query))

    def knn(self, features: LabelledFeatures) -> KnnResult:
        """Classify the queries by their nearest neighbours, see `weighted_knn`."""
        result = weighted_knn(
            features.train,
            features.train_labels,
            features.query,
            features.query_labels,
            num_classes=features.num_classes,
            k=self._args.k,
            temperature=self._args.temperature,
        )
        return replace(result, notes=(*result.notes, *features.notes))


def linear_score(features: LabelledFeatures, penalty: float) -> HeadScore | None:
    """Fit a linear classifier to the training images and classify the queries, see `fit_lbfgs`.

    Args:
        features: Both sets.
        penalty: L2 penalty.

    Returns:
        Accuracies; None if fewer than two classes are left.
    """
    if (features.train_labels == features.train_labels[0]).all():
        return None
    head = fit_lbfgs(
        features.train, features.train_labels, features.num_classes, penalties=[penalty]
    )
    return score_head(head, features.query, features.query_labels)


@dataclass(frozen=True, eq=False)
class _PartFeatures:
    """Finite features (N, D) and labels (N,) of a part, in its order."""

    features: Tensor
    labels: Tensor
    num_lost: int
    num_not_finite: int


def _usable(part: Part, features: Tensor, indices: Tensor) -> _PartFeatures:
    finite = torch.isfinite(features).all(dim=1)
    # `indices` is an ascending subset of `part.indices`.
    rows = torch.searchsorted(torch.from_numpy(part.indices), indices)
    labels = torch.from_numpy(part.targets)[rows]
    num_lost = len(part.indices) - int(finite.sum())
    return _PartFeatures(features[finite], labels[finite], num_lost, int((~finite).sum()))


def _combine(plan: Plan, train: _PartFeatures, query: _PartFeatures) -> LabelledFeatures:
    num_lost = train.num_lost + query.num_lost
    if not len(train.labels) or not len(query.labels):
        raise RunError(_too_few_images(num_lost, train.num_not_finite + query.num_not_finite))
    notes = plan.notes
    if num_lost:
        notes += (f"images skipped, unreadable or with features that are not finite: {num_lost}",)
    return LabelledFeatures(
        train.features, train.labels, query.features, query.labels, len(plan.classes), notes
    )


def _too_few_images(num_lost: int, num_not_finite: int) -> str:
    return (
        f"no kNN accuracy: {num_lost} images were skipped, {num_not_finite} of them because the "
        "model's features are nan or infinite, and too few are left\n  check for unreadable "
        "images, or lower the learning rate; set callbacks.knn=none to switch the measurement off"
    )
