"""Measures the features of a frozen network by kNN and a linear classifier.

Both use the labelled images of one folder for training and those of another for testing, each with
one folder per class. Used by `distillation_benchmark.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from lightly_core.contracts import ModelWrapper, Transform
from lightly_core.data.dataset import build_eval_loader
from lightly_core.data.sources import open_source
from lightly_core.evaluation.features import extract_features
from lightly_core.evaluation.knn import weighted_knn

#: Inverse strengths of the linear classifier's L2 penalty; the best on held-out images is used.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True)
class Labelled:
    """Features (N, D), labels (N,) int64, and the names of the classes."""

    features: Tensor
    labels: Tensor
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Accuracy:
    """Fractions of test images that are classified correctly, in [0, 1]."""

    knn: float
    linear: float


def accuracy(
    wrapper: ModelWrapper, train: Path, test: Path, transform: Transform, *, num_workers: int = 0
) -> Accuracy:
    """Measure a frozen network.

    Args:
        wrapper: The network.
        train: Folder of the training images, with a folder for each class.
        test: The same for the test images.
        transform: Converts an image to the network's input, without randomness.
        num_workers: Processes that read images.

    Raises:
        ValueError: A folder has no class folders, or the two folders have different classes.
    """
    known, tested = (
        labelled_features(wrapper, folder, transform, num_workers=num_workers)
        for folder in (train, test)
    )
    if known.classes != tested.classes:
        raise ValueError(
            f"expected the same classes in {train} and {test}, "
            f"got {', '.join(known.classes)} and {', '.join(tested.classes)}"
        )
    neighbours = weighted_knn(
        known.features,
        known.labels,
        tested.features,
        tested.labels,
        num_classes=len(known.classes),
        k=20,
        temperature=0.07,
    )
    return Accuracy(neighbours.top1, linear_accuracy(known, tested))


def labelled_features(
    wrapper: ModelWrapper, folder: Path, transform: Transform, *, num_workers: int = 0
) -> Labelled:
    """Compute the pooled features of all images of a folder, see `accuracy`."""
    source = open_source(str(folder))
    labels = source.labels()
    if labels is None:
        raise ValueError(f"expected a folder for each class in {folder}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if isinstance(wrapper, nn.Module):
        wrapper.to(device)
    loader = build_eval_loader(
        source, range(len(source)), transform, batch_size=128, num_workers=num_workers
    )
    features, indices = extract_features(wrapper, loader, transform, device)
    return Labelled(features, torch.from_numpy(labels.targets)[indices], labels.classes)


def linear_accuracy(
    train: Labelled, test: Labelled, strengths: Sequence[float] = STRENGTHS, seed: int = 0
) -> float:
    """Train multinomial logistic regression on standardised features.

    The strength of the penalty is chosen on a fifth of the training images. The final classifier is
    trained on all of them. The test images are not used for the choice.

    Args:
        train: Training features.
        test: Test features.
        strengths: Candidates for scikit-learn's ``C``.
        seed: Seed that selects the fifth.

    Returns:
        Fraction of `test` that is classified correctly, in [0, 1].
    """
    x, y = train.features.numpy(), train.labels.numpy()
    fit_x, held_x, fit_y, held_y = train_test_split(
        x, y, test_size=0.2, stratify=y, random_state=seed
    )
    scores = [_classifier(c).fit(fit_x, fit_y).score(held_x, held_y) for c in strengths]
    best = strengths[scores.index(max(scores))]  # of equal scores, the strongest penalty
    final = _classifier(best).fit(x, y)
    return float(final.score(test.features.numpy(), test.labels.numpy()))


def _classifier(c: float) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000))
