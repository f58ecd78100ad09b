"""Accuracy of a linear classifier on frozen features, with a choice of solvers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from lightly_core.evaluation.accuracy import check_features
from lightly_core.evaluation.linear_head import LinearHead, score_head
from lightly_core.evaluation.linear_lbfgs import fit_lbfgs
from lightly_core.evaluation.linear_sgd import fit_sgd

__all__ = ["Fit", "LinearHead", "LinearResult", "fit_lbfgs", "fit_sgd", "linear_probe"]


class Fit(Protocol):
    """Trains a head: `fit_lbfgs`, `fit_sgd`, or a `functools.partial` of one with settings."""

    def __call__(self, features: Tensor, labels: Tensor, num_classes: int, /) -> LinearHead:
        """Train on features (N, D) with labels (N,) int64 in [0, num_classes)."""
        ...


@dataclass(frozen=True)
class LinearResult:
    """Result of `linear_probe`.

    Attributes:
        top1: Fraction of the queries whose best class is the true one, in [0, 1].
        top5: Fraction of the queries with the true class among the five best, in [0, 1]; 1 if
            there are at most five classes and each has a training image.
        train_top1: Fraction of the training images that are classified correctly, in [0, 1].
        train_loss: Mean cross-entropy of the training images, in nats.
        penalty: The chosen L2 penalty; None if the classifier has none.
        lr: The chosen learning rate per 256 images; None if there is none.
        held_out: Accuracy of each candidate for penalty or learning rate, see `LinearHead`.
        num_train: Images that the classifier was trained on.
        num_query: Images that were classified.
        num_classes: Number of classes.
        notes: Remarks to be reported with the numbers, one sentence each.
        head: The classifier itself, for raw features.
    """

    top1: float
    top5: float
    train_top1: float
    train_loss: float
    penalty: float | None
    lr: float | None
    held_out: dict[float, float]
    num_train: int
    num_query: int
    num_classes: int
    notes: tuple[str, ...]
    head: LinearHead = field(repr=False, compare=False)


def linear_probe(
    train_features: Tensor,
    train_labels: Tensor,
    query_features: Tensor,
    query_labels: Tensor,
    *,
    num_classes: int,
    fit: Fit = fit_lbfgs,
) -> LinearResult:
    """Train a linear classifier on training features and classify queries with it.

    The queries are used neither for training nor for the choice of a penalty or learning rate.
    Classes with equal scores rank by their number, and a class without a training image never
    counts as a hit.

    Args:
        train_features: (N, D), on the device for the computation.
        train_labels: (N,) int64 in [0, num_classes), on the same device.
        query_features: (M, D), on the same device.
        query_labels: (M,) int64 in [0, num_classes), on the same device.
        num_classes: Number of classes.
        fit: Function that trains the classifier, e.g. ``partial(fit_lbfgs, penalties=(0.01,))``,
            which is fast enough to be repeated during a training.

    Returns:
        Accuracies, counts and the classifier.

    Raises:
        ValueError: There is no training or query image, a feature is nan or infinite, a label is
            out of range, or all training images are of one class.
    """
    check_features("train", train_features, train_labels, num_classes)
    check_features("query", query_features, query_labels, num_classes)
    head = fit(train_features, train_labels, num_classes)
    train = score_head(head, train_features, train_labels)
    query = score_head(head, query_features, query_labels)
    return LinearResult(
        top1=query.top1,
        top5=query.top5,
        train_top1=train.top1,
        train_loss=train.loss,
        penalty=head.penalty,
        lr=head.lr,
        held_out=head.held_out,
        num_train=len(train_features),
        num_query=len(query_features),
        num_classes=num_classes,
        notes=head.notes,
        head=head,
    )
