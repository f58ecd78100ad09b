"""A linear classifier on raw features, and what all ways to train one share."""

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
        bias: (num_classes,) float32; minus infinity for classes that had no training image, so
            that they are never predicted.
        penalty: L2 penalty that was chosen, of `fit_lbfgs`.
        lr: Learning rate per 256 images that was chosen, of `fit_sgd`.
        held_out: Accuracy of each candidate on the training images that were kept apart for the
            choice, by penalty or learning rate; empty where there was nothing to choose.
        notes: What a reader of the numbers should know, one sentence each.
    """

    weight: Tensor
    bias: Tensor
    penalty: float | None = None
    lr: float | None = None
    held_out: dict[float, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@contextmanager
def exact_arithmetic(device: torch.device) -> Iterator[None]:
    """Compute products in float32, whatever the training around it has chosen for itself.

    L-BFGS does not converge on gradients with three digits, and numbers measured during a run
    are to be those that are measured after it.

    Args:
        device: Where features are.
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
    """Make a head for standardised features and some classes one for raw features and all.

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
    """Check what a classifier is to be trained on, and number the classes that occur.

    Args:
        features: (N, D).
        labels: (N,) int64 in [0, num_classes).
        num_classes: K.

    Returns:
        The classes with an image, (C,) int64 ascending, and the labels as positions among them,
        (N,) int64.

    Raises:
        ValueError: No image, features that are not finite, labels out of range, or fewer than two
            classes.
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
    """Say which part of the classes can never be predicted."""
    missing = num_classes - len(classes)
    return [f"classes without a training image, never predicted: {missing}"] if missing else []


def hold_out(targets: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Keep a part of every class's images apart.

    Args:
        targets: Class of each image, (N,) int64.
        fraction: Share to keep apart, in (0, 1); at least one image of each class, and never
            its last one.
        seed: Decides which images are taken.

    Returns:
        Positions of the images that stay and of those kept apart, ascending, on the device of
        `targets`. The same on every machine; the second is empty if no class has two images.
    """
    labels = targets.cpu().numpy()
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    _, starts, inverse, counts = np.unique(
        labels[order], return_index=True, return_inverse=True, return_counts=True
    )
    place = np.arange(len(labels)) - starts[inverse]  # of an image within its class
    quota = np.minimum(np.maximum(np.rint(counts * fraction).astype(np.int64), 1), counts - 1)
    apart = place < quota[inverse]
    stay, held = (torch.from_numpy(np.sort(order[mask])) for mask in (~apart, apart))
    return stay.to(targets.device), held.to(targets.device)


def statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of every dimension.

    Args:
        features: (N, D).

    Returns:
        Two tensors (D,) float64. A dimension whose spread float32 cannot hold has deviation 1.
    """
    count = len(features)
    chunks = torch.split(features, STATISTICS_ROWS)
    mean = sum_rows(chunk.double() for chunk in chunks) / count
    squares = sum_rows((chunk.double() - mean).square_() for chunk in chunks)
    deviation = (squares / count).sqrt()
    constant = deviation <= 1e-6 * mean.abs()
    return mean, deviation.masked_fill(constant | (deviation == 0), 1.0)


def sum_rows(chunks: Iterator[Tensor]) -> Tensor:
    """Add up the rows of all chunks, (n, D) each, to one (D,)."""
    return torch.stack([chunk.sum(dim=0) for chunk in chunks]).sum(dim=0)


@dataclass(frozen=True)
class HeadScore:
    """How a head does on some images.

    Attributes:
        top1: Share of the images whose best class is the right one, in [0, 1].
        top5: Share of the images with the right class among the five best, in [0, 1].
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
