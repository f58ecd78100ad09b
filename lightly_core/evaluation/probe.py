"""The proof of a run: accuracy of the frozen features on the user's own labels."""

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
from lightly_core.evaluation.plan import Part, Plan, plan_split, plan_validation


@dataclass(frozen=True, eq=False)
class LabelledFeatures:
    """Features of both sides, on the CPU.

    Attributes:
        train: Features that classify, (N, D) float32.
        train_labels: (N,) int64 in [0, num_classes).
        query: Features that are classified, (M, D) float32.
        query_labels: (M,) int64 in [0, num_classes).
        num_classes: Number of classes.
        notes: What a reader of the numbers should know, one sentence each.
    """

    train: Tensor
    train_labels: Tensor
    query: Tensor
    query_labels: Tensor
    num_classes: int
    notes: tuple[str, ...]


class LabelledProbe:
    """Chooses the images once, so that all its runs compare.

    Args:
        source: The training images, with labels or without.
        args: How many images, and how they are compared.
        transform: Makes a network's input of an image, without randomness.
        seed: Decides which images are taken.
        val_source: Other images, with labels, that are classified by the training images; None:
            a part of the training images is classified by the others.

    Attributes:
        plan: The images; None where there is nothing to measure.
        reason: Why there is nothing to measure; None where there is.

    Raises:
        DataError: The labels of `val_source` are of no use, see `plan_validation`.
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
        if val_source is None:
            plan = plan_split(
                source, max_images=args.max_images, query_fraction=args.query_fraction, seed=seed
            )
        else:
            plan = plan_validation(
                source,
                val_source,
                max_images=args.max_images,
                query_fraction=args.query_fraction,
                seed=seed,
            )
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
        """Compute the features of both sides.

        The model's mode, its buffers and torch's random state are kept. Images that cannot be
        read, or whose features are not finite, are left out, and a note says how many.

        Args:
            wrapper: Model with its parameters on `device`.
            device: Where features are computed.
            num_workers: Processes that read images.
            batch_size: Images per forward.
            precision: As in `extract_features`.
            channels_last: As in `extract_features`.

        Raises:
            RunError: No image is left on one of the two sides.
            ValueError: The probe is not available.
        """
        if self.plan is None:
            raise ValueError(f"no kNN accuracy: {self.reason}")

        def side(part: Part) -> _Side:
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
            )
            return _usable(part, *found)

        return _together(self.plan, side(self.plan.train), side(self.plan.query))

    def knn(self, features: LabelledFeatures) -> KnnResult:
        """Classify by the nearest neighbours, with the numbers that `weighted_knn` gives."""
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
    """Fit a linear classifier to one side and classify the other, see `fit_lbfgs`.

    Args:
        features: Both sides.
        penalty: Weight of the squared weights.

    Returns:
        Accuracies; None where fewer than two classes are left to tell apart.
    """
    if (features.train_labels == features.train_labels[0]).all():
        return None
    head = fit_lbfgs(
        features.train, features.train_labels, features.num_classes, penalties=[penalty]
    )
    return score_head(head, features.query, features.query_labels)


@dataclass(frozen=True, eq=False)
class _Side:
    """Usable features (N, D) and labels (N,) of a part, ordered as in it."""

    features: Tensor
    labels: Tensor
    num_lost: int
    num_not_finite: int


def _usable(part: Part, features: Tensor, indices: Tensor) -> _Side:
    finite = torch.isfinite(features).all(dim=1)
    # `indices` are some of the part's, in its order, which is ascending.
    rows = torch.searchsorted(torch.from_numpy(part.indices), indices)
    labels = torch.from_numpy(part.targets)[rows]
    num_lost = len(part.indices) - int(finite.sum())
    return _Side(features[finite], labels[finite], num_lost, int((~finite).sum()))


def _together(plan: Plan, train: _Side, query: _Side) -> LabelledFeatures:
    num_lost = train.num_lost + query.num_lost
    if not len(train.labels) or not len(query.labels):
        raise RunError(_nothing_left(num_lost, train.num_not_finite + query.num_not_finite))
    notes = plan.notes
    if num_lost:
        notes += (f"images left out, unreadable or with features not finite: {num_lost}",)
    return LabelledFeatures(
        train.features, train.labels, query.features, query.labels, len(plan.classes), notes
    )


def _nothing_left(num_lost: int, num_not_finite: int) -> str:
    return (
        f"no kNN accuracy: {num_lost} images dropped out, {num_not_finite} of them because the "
        "model's features are nan or infinite, and too few are left\n  look for unreadable images, "
        "or lower the learning rate; callbacks.knn=none switches the measurement off"
    )
