"""Accuracy of a linear classifier on frozen features."""

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
    """What `linear_probe` found.

    Attributes:
        top1: Share of the queries whose best class is the right one, in [0, 1].
        top5: Share of the queries with the right class among the five best, in [0, 1]; so 1 where
            there are five classes or fewer and each has a training image.
        train_top1: Share of the training images that are classified rightly, in [0, 1].
        train_loss: Mean cross-entropy of the training images, in nats.
        penalty: L2 penalty that was chosen; None if the classifier has none.
        lr: Learning rate per 256 images that was chosen; None if there is none.
        held_out: Accuracy of each candidate for penalty or learning rate, see `LinearHead`.
        num_train: Images that the classifier was trained on.
        num_query: Images that were classified.
        num_classes: Number of classes.
        notes: What a reader of the numbers should know, one sentence each.
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
    """Train a linear classifier on some features and classify others by it.

    The queries take no part in the training, nor in the choice of a penalty or learning rate.
    Classes with equal scores rank by their number, and a class without a training image is never
    counted as found.

    Args:
        train_features: (N, D), on the device that computes.
        train_labels: (N,) int64 in [0, num_classes), on the same device.
        query_features: (M, D), on the same device.
        query_labels: (M,) int64 in [0, num_classes), on the same device.
        num_classes: Number of classes.
        fit: How the classifier is trained, e.g. ``partial(fit_lbfgs, penalties=(0.01,))``, which
            is quick enough to be repeated during a training.

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
