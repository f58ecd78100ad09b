"""A linear classifier on raw features, and functions shared by the solvers that train one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.evaluation.accuracy import check_features, topk_hits

CHUNK_ROWS = 8192
STATISTICS_ROWS = 1024  # fewer, since they are copied to float64


@dataclass(frozen=True, eq=False)
class LinearHead:
    """A trained classifier: ``scores = features @ weight.T + bias``.

    Standardisation or batch norm of the features is folded into it.

    Attributes:
        weight: (num_classes, D) float32.
        bias: (num_classes,) float32; minus infinity for classes without a training image, so that
            they are never predicted.
        penalty: L2 penalty that `fit_lbfgs` chose.
        lr: Learning rate per 256 images that `fit_sgd` chose.
        held_out: Accuracy of each candidate on the held-out training images, by penalty or
            learning rate; empty if there was only one candidate.
        notes: Remarks to be reported with the numbers, one sentence each.
    """

    weight: Tensor
    bias: Tensor
    penalty: float | None = None
    lr: float | None = None
    held_out: dict[float, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@contextmanager
def exact_arithmetic(device: torch.device) -> Iterator[None]:
    """Compute matrix products in full float32, whatever the precision of the training.

    L-BFGS does not converge with gradients of three digits, and numbers that are measured during
    a run must equal those measured after it.

    Args:
        device: Device of the features.
    """
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


def fold(
    weight: Tensor, bias: Tensor, shift: Tensor, scale: Tensor, classes: Tensor, num_classes: int
) -> tuple[Tensor, Tensor]:
    """Convert a head for standardised features and some classes to raw features and all classes.

    Args:
        weight: (C, D), for ``(features - shift) / scale``.
        bias: (C,).
        shift: (D,).
        scale: (D,).
        classes: (C,) int64, number of the class of each row.
        num_classes: K.

    Returns:
        Weight (K, D) and bias (K,), float32; see `LinearHead` for classes not in `classes`.
    """
    raw = weight.double() / scale.double()
    full = raw.new_zeros(num_classes, raw.shape[1])
    full[classes] = raw
    full_bias = raw.new_full((num_classes,), -torch.inf)
    full_bias[classes] = bias.double() - raw @ shift.double()
    return full.float(), full_bias.float()


def train_classes(features: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Check the training data of a classifier, and number the classes that occur.

    Args:
        features: (N, D).
        labels: (N,) int64 in [0, num_classes).
        num_classes: K.

    Returns:
        The classes with an image, (C,) int64 ascending, and the labels as positions among them,
        (N,) int64.

    Raises:
        ValueError: There is no image, a feature is not finite, a label is out of range, or there
            are fewer than two classes.
    """
    check_features("train", features, labels, num_classes)
    classes, targets = torch.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"expected training images of two classes or more, all {len(labels)} are of class "
            f"{int(classes[0])}"
        )
    return classes, targets


def class_notes(classes: Tensor, num_classes: int) -> list[str]:
    """Return a note on the number of classes that are never predicted."""
    missing = num_classes - len(classes)
    return [f"classes without a training image, never predicted: {missing}"] if missing else []


def hold_out(targets: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Hold out a fraction of the images of every class.

    Args:
        targets: Class of each image, (N,) int64.
        fraction: Fraction to hold out, in (0, 1). At least one image of each class is held out,
            but never its only one.
        seed: Seed of the choice of images.

    Returns:
        Positions of the other images and of the held-out ones, ascending, on the device of
        `targets`. They are the same on every machine. The second is empty if no class has two
        images.
    """
    labels = targets.cpu().numpy()
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    _, starts, inverse, counts = np.unique(
        labels[order], return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.arange(len(labels)) - starts[inverse]  # of an image within its class
    quota = np.minimum(np.maximum(np.rint(counts * fraction).astype(np.int64), 1), counts - 1)
    is_held = rank < quota[inverse]
    kept, held = (torch.from_numpy(np.sort(order[mask])) for mask in (~is_held, is_held))
    return kept.to(targets.device), held.to(targets.device)


def statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of every dimension.

    Args:
        features: (N, D).

    Returns:
        Two tensors (D,) float64. The deviation of a dimension is set to 1 if it is below the
        precision of float32.
    """
    count = len(features)
    chunks = torch.split(features, STATISTICS_ROWS)
    mean = sum_rows(chunk.double() for chunk in chunks) / count
    squares = sum_rows((chunk.double() - mean).square_() for chunk in chunks)
    deviation = (squares / count).sqrt()
    constant = deviation <= 1e-6 * mean.abs()
    return mean, deviation.masked_fill(constant | (deviation == 0), 1.0)


def sum_rows(chunks: Iterator[Tensor]) -> Tensor:
    """Return the sum (D,) of the rows of all chunks, (n, D) each."""
    return torch.stack([chunk.sum(dim=0) for chunk in chunks]).sum(dim=0)


@dataclass(frozen=True)
class HeadScore:
    """Accuracy and loss of a head on some images.

    Attributes:
        top1: Fraction of the images whose best class is the true one, in [0, 1].
        top5: Fraction of the images with the true class among the five best, in [0, 1].
        loss: Mean cross-entropy in nats; infinite if a class that is never predicted occurs.
    """

    top1: float
    top5: float
    loss: float


def score_head(head: LinearHead, features: Tensor, labels: Tensor) -> HeadScore:
    """Classify images with a head, a chunk at a time.

    Args:
        head: On the device of `features`.
        features: (N, D), N > 0.
        labels: (N,) int64.

    Returns:
        Accuracies and loss.
    """
    hits = torch.zeros(2, dtype=torch.int64, device=features.device)
    loss = torch.zeros((), dtype=torch.float64, device=features.device)
    with exact_arithmetic(features.device):
        for chunk, targets in zip(
            torch.split(features, CHUNK_ROWS), torch.split(labels, CHUNK_ROWS), strict=True
        ):
            scores = chunk.float() @ head.weight.T + head.bias  # (n, K)
            hits += topk_hits(scores, targets, (1, 5))
            loss += F.cross_entropy(scores, targets, reduction="none").double().sum()
    top1, top5 = (hits.double() / len(features)).tolist()
    return HeadScore(top1, top5, float(loss) / len(features))
