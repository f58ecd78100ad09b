"""Opens the training images and the images to classify of an evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from lightly_core.config.options.evaluate import VAL_FRACTION, EvaluateConfig
from lightly_core.config.options.settings import PythonObject
from lightly_core.data.base import ImageSource
from lightly_core.data.check import identity
from lightly_core.data.fingerprint import fingerprint
from lightly_core.data.labels import LabelledImages, open_labelled, same_classes
from lightly_core.data.names import shown
from lightly_core.errors import DataError
from lightly_core.evaluation.splitting import split

#: Type of the settings `data` and `val_data`.
Data: TypeAlias = "str | list[str] | PythonObject"


@dataclass(frozen=True)
class Task:
    """Two sets of labelled images with a common numbering of the classes.

    Attributes:
        train: Training images of classifiers.
        val: Images that are classified.
        how: Where the second set comes from, as text for the user.
        notes: Remarks to be reported with an accuracy, one sentence each.
    """

    train: LabelledImages
    val: LabelledImages
    how: str
    notes: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        """Number of classes that have a training image."""
        return len(self.train.classes)

    def facts(self) -> dict[str, object]:
        """Return the facts about the images that a result must contain."""
        return {
            "num_classes": self.num_classes,
            "validation": self.how,
            "labels": self.train.origin,
            "val_labels": self.val.origin,
            "fingerprint": _fingerprint(self.train),
            "val_fingerprint": _fingerprint(self.val),
        }


def open_task(config: EvaluateConfig, open_source: Callable[[Data], ImageSource]) -> Task:
    """Open the images of both sets and their classes.

    Args:
        config: The settings.
        open_source: Opens the images of a setting with the channels of the network.

    Raises:
        DataError: Images or labels cannot be used, or the two sets do not match.
    """
    source = open_source(config.data)
    if config.val_data is None:
        return _split(open_labelled(source, config.labels, what="data"), config.seed)
    val_source = open_source(config.val_data)
    val_labels = config.val_labels if config.val_labels is not None else config.labels
    shared = config.labels is not None and val_labels == config.labels
    found = open_labelled(source, config.labels, what="data", other=val_source if shared else None)
    val = open_labelled(val_source, val_labels, what="val_data", other=source if shared else None)
    _refuse_overlap(config, found, val)
    train, val, notes = same_classes(found, val)
    return Task(train, val, "val_data", notes)


def _split(found: LabelledImages, seed: int) -> Task:
    sides = split(found.targets, max_images=len(found), query_fraction=VAL_FRACTION, seed=seed)
    notes: tuple[str, ...] = ()
    if sides.num_single:
        notes = (f"{sides.num_single} classes with one image are skipped",)
    train = found.part(sides.train).without_empty_classes()
    if len(train.classes) < 2:
        raise DataError(
            f"data: of {len(found.classes)} classes ({found.origin}) fewer than two have at least "
            "two images, so no images can be held out; give val_data"
        )
    val = found.part(sides.query).without_empty_classes()
    how = f"{VAL_FRACTION:.0%} of each class of data, held out with seed {seed}"
    return Task(train, val, how, notes)


def _refuse_overlap(config: EvaluateConfig, train: LabelledImages, val: LabelledImages) -> None:
    """Refuse images that are in both sets; detected only if both settings are the same."""
    if config.val_data is None or identity(config.data) != identity(config.val_data):
        return
    both = np.intersect1d(train.indices, val.indices)
    if len(both):
        raise DataError(
            f"val_data has {len(both)} images that are in data too, such as "
            f"'{shown(train.source.name(int(both[0])))}'; remove val_data to hold out "
            f"{VAL_FRACTION:.0%} of data, or give labels and val_labels that name different images"
        )


def _fingerprint(images: LabelledImages) -> str:
    labels = hashlib.sha256("\0".join(images.classes).encode("utf-8", "surrogatepass"))
    labels.update(images.indices.tobytes() + images.targets.tobytes())
    return f"{fingerprint(images.source)}, labels {labels.hexdigest()[:16]}"
