"""The protocols on frozen features: kNN, linear and retrieval."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import attrs
import torch
from torch import Tensor

from lightly_core.config.options.evaluate import KnnProtocol, LinearProtocol, RetrievalProtocol
from lightly_core.config.options.fields import plain
from lightly_core.data.labels import LabelledImages
from lightly_core.errors import DataError, RunError
from lightly_core.evaluation.backbone import Backbone
from lightly_core.evaluation.faiss_search import FaissSearch, search_recall
from lightly_core.evaluation.knn import weighted_knn_many
from lightly_core.evaluation.linear_head import LinearHead, score_head
from lightly_core.evaluation.linear_lbfgs import PENALTIES, fit_lbfgs
from lightly_core.evaluation.linear_sgd import fit_sgd
from lightly_core.evaluation.retrieval import retrieval
from lightly_core.evaluation.task import Task

log = logging.getLogger(__name__)

#: Fraction of the free device memory that features may take; the rest is for other tensors.
_MEMORY_FRACTION = 0.25


@dataclass(frozen=True)
class Measured:
    """Result of one protocol.

    Attributes:
        settings: All settings that the numbers depend on, as plain data.
        values: Numbers by name, as plain data; accuracies in [0, 1].
        seconds: Duration, without the computation of features that several protocols share.
        num_train: Training images.
        num_val: Images that were classified.
        skipped_train: Training images that could not be read.
        skipped_val: Images to classify that could not be read.
        notes: Remarks to be reported with the numbers, one sentence each.
    """

    settings: Mapping[str, object]
    values: Mapping[str, object]
    seconds: float
    num_train: int
    num_val: int
    skipped_train: int
    skipped_val: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Features of one set of images.

    Attributes:
        features: (N, D) float32, finite.
        labels: (N,) int64, on the device of the features.
        skipped: Images that could not be read and are missing.
    """

    features: Tensor
    labels: Tensor
    skipped: int


@dataclass(frozen=True, eq=False)
class TaskFeatures:
    """Features of both sets, computed with the transform of evaluation.

    Attributes:
        train: Features of the training images.
        val: Features of the images that are classified.
        num_classes: Number of classes.
        seconds: Duration of the computation of both.
    """

    train: FeatureSet
    val: FeatureSet
    num_classes: int
    seconds: float = field(default=0.0)

    def measured(
        self,
        settings: Mapping[str, object],
        values: Mapping[str, object],
        started: float,
        notes: tuple[str, ...] = (),
    ) -> Measured:
        """Return the result of a protocol, with the numbers of images of both sets."""
        return Measured(
            settings,
            values,
            time.perf_counter() - started,
            len(self.train.labels),
            len(self.val.labels),
            self.train.skipped,
            self.val.skipped,
            notes,
        )


def task_features(backbone: Backbone, task: Task) -> TaskFeatures:
    """Compute the features of both sets.

    Raises:
        DataError: Too few images can be read.
        RunError: The features of an image are nan or infinite.
    """
    started = time.perf_counter()
    train, val = (
        compute_features(backbone, images, what)
        for images, what in ((task.train, "data"), (task.val, "val_data"))
    )
    present = int(torch.bincount(train.labels).count_nonzero())
    if present < 2:
        raise DataError(
            f"data: images of {present} of {task.num_classes} classes can be read; expected at "
            f"least two\n  {train.skipped} images cannot be read, check these files"
        )
    return TaskFeatures(train, val, task.num_classes, time.perf_counter() - started)


def compute_features(backbone: Backbone, images: LabelledImages, what: str) -> FeatureSet:
    """Compute the features of images; `what` is the name of their setting in messages.

    Raises:
        DataError: No image can be read.
        RunError: The features of an image are nan or infinite.
    """
    log.info("%s: computing the features of %d images", what, len(images))
    features, indices = backbone.features(images.source, images.indices.tolist())
    if not len(indices):
        raise DataError(f"{what}: none of the {len(images)} images can be read")
    finite = torch.cat([torch.isfinite(rows).all(dim=1) for rows in torch.split(features, 4096)])
    if not finite.all():
        first = images.source.name(int(indices[~finite][0]))
        raise RunError(
            f"{what}: the features of {int((~finite).sum())} of {len(finite)} images are nan or "
            f"infinite, such as those of '{first}'\n  the run of these weights diverged, or the "
            "precision is too low: try precision=32-true"
        )
    # `indices` is an ascending subset of `images.indices`.
    rows = torch.searchsorted(torch.from_numpy(images.indices), indices)
    labels = torch.from_numpy(images.targets)[rows]
    device = _features_device(backbone.device, features)
    return FeatureSet(features.to(device), labels.to(device), len(images) - len(indices))


def _features_device(device: torch.device, features: Tensor) -> torch.device:
    """Return the network's device if it has enough free memory for features, else the CPU."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if features.numel() * features.element_size() < _MEMORY_FRACTION * free:
            return device
    return torch.device("cpu")  # also for "mps", which has no float64


# --------------------------------------------------------------------------- protocols


def measure_knn(protocol: KnnProtocol, features: TaskFeatures, seed: int) -> list[Measured]:
    """Classify by the nearest neighbours; returns one result for each k, from one search."""
    started = time.perf_counter()
    ks = protocol.k if isinstance(protocol.k, tuple) else (protocol.k,)
    train, val = features.train, features.val
    searched = _searched(protocol, features, ks, seed)
    found = weighted_knn_many(
        train.features,
        train.labels,
        val.features,
        val.labels,
        num_classes=features.num_classes,
        ks=ks,
        temperature=protocol.temperature,
        search=searched.search,
    )
    return [
        features.measured(
            {"k": k, "temperature": protocol.temperature, **searched.settings},
            {"top1": result.top1, "top5": result.top5, **searched.values(k)},
            started,
            (*result.notes, *top5_notes(features.num_classes)),
        )
        for k, result in zip(ks, found, strict=True)
    ]


def measure_linear(protocol: LinearProtocol, features: TaskFeatures, seed: int) -> Measured:
    """Train a linear classifier on features that are computed once.

    Raises:
        RunError: The training diverged.
    """
    started = time.perf_counter()
    try:
        head = _fit(protocol, features.train, features.num_classes, seed)
    except ValueError as error:  # all other causes are already checked by `task_features`
        raise RunError(f"linear: {error}") from error
    return features.measured(
        linear_settings(protocol),
        linear_values(head, features.val),
        started,
        (*head.notes, *top5_notes(features.num_classes)),
    )


def _fit(protocol: LinearProtocol, train: FeatureSet, num_classes: int, seed: int) -> LinearHead:
    if protocol.solver == "lbfgs":
        return fit_lbfgs(
            train.features, train.labels, num_classes, penalties=protocol.penalties, seed=seed
        )
    return fit_sgd(
        train.features,
        train.labels,
        num_classes,
        lrs=learning_rates(protocol),
        epochs=protocol.epochs,
        batch_size=protocol.batch_size,
        momentum=protocol.momentum,
        weight_decay=protocol.weight_decay,
        batch_norm=protocol.batch_norm,
        seed=seed,
    )


def measure_retrieval(protocol: RetrievalProtocol, features: TaskFeatures, seed: int) -> Measured:
    """Search for the classes of the validation images among the training images."""
    started = time.perf_counter()
    searched = _searched(protocol, features, protocol.k, seed)
    found = retrieval(
        features.train.features,
        features.train.labels,
        query_features=features.val.features,
        query_labels=features.val.labels,
        ks=protocol.k,
        search=searched.search,
    )
    averages = {"map": found.mean_average_precision, "map_at_r": found.map_at_r}
    values = {name: value for name, value in averages.items() if value is not None}
    values |= {f"recall_at_{k}": value for k, value in found.recall.items()}
    values |= {f"precision_at_{k}": value for k, value in found.precision.items()}
    settings = {"k": list(protocol.k), **searched.settings}
    values |= searched.values(max(protocol.k))
    return features.measured(settings, values, started, found.notes)


@dataclass(frozen=True, eq=False)
class _Searched:
    """A search with its settings and its recall at each k. None: exact, which has neither."""

    search: FaissSearch | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    recalls: Mapping[int, float] = field(default_factory=dict)

    def values(self, k: int) -> dict[str, float]:
        """Return what is added to a result at k."""
        return {"search_recall": self.recalls[k]} if self.recalls else {}


def _searched(
    protocol: KnnProtocol | RetrievalProtocol, features: TaskFeatures, ks: Sequence[int], seed: int
) -> _Searched:
    """Return the search that a protocol names, and how much it finds."""
    if protocol.search == "exact":
        return _Searched()
    bank = features.train.features
    search = FaissSearch(bank, nprobe=protocol.nprobe, seed=seed)
    recalls = search_recall(search, bank, features.val.features, ks, seed)
    settings = {"search": "faiss", "nlist": search.nlist, "nprobe": search.nprobe}
    for k, recall in recalls.items():
        log.info("faiss finds %.2f %% of the %d nearest images", 100 * recall, k)
    return _Searched(search, settings, recalls)


# --------------------------------------------------------------------------- shared


def learning_rates(protocol: LinearProtocol) -> tuple[float, ...]:
    """Return the learning rates per 256 images to choose from."""
    return protocol.lr if isinstance(protocol.lr, tuple) else (protocol.lr,)


def linear_settings(protocol: LinearProtocol) -> dict[str, object]:
    """Return what the numbers of a linear classifier depend on."""
    if protocol.solver == "lbfgs":
        return {"solver": "lbfgs", "penalties": list(protocol.penalties or PENALTIES)}
    unused = ("penalties",) if protocol.augment else ("penalties", "min_scale")
    settings = attrs.asdict(protocol)
    return {name: plain(value) for name, value in settings.items() if name not in unused}


def linear_values(head: LinearHead, val: FeatureSet) -> dict[str, object]:
    """Return the accuracies of a head, and its chosen penalty or learning rate."""
    score = score_head(head, val.features, val.labels)
    values: dict[str, object] = {"top1": score.top1, "top5": score.top5}
    chosen = {"penalty": head.penalty, "lr": head.lr}
    values |= {name: value for name, value in chosen.items() if value is not None}
    if head.held_out:
        values["held_out_top1"] = {f"{key:g}": value for key, value in head.held_out.items()}
    return values


def top5_notes(num_classes: int) -> tuple[str, ...]:
    """Return a note if there are too few classes for top-5 to be meaningful."""
    if num_classes > 5:
        return ()
    return (f"top-5 is not meaningful with {num_classes} classes",)
