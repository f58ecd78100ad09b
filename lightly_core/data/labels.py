"""Labelled images: classes from class folders, a CSV or a dataset, shared by two sets."""

from __future__ import annotations

import csv
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lightly_core.data.base import ImageSource
from lightly_core.data.folder import FolderSource
from lightly_core.data.names import shown
from lightly_core.data.paths import some
from lightly_core.errors import DataError

log = logging.getLogger(__name__)

#: Names that the columns of a CSV may have.
IMAGE_COLUMNS = ("image", "filename", "file", "path", "name")
LABEL_COLUMNS = ("label", "class", "target")

_REMEDY = (
    "put the images of each class into a folder of its own, or give a CSV with the columns image "
    "and label"
)


@dataclass(frozen=True)
class LabelledImages:
    """Images of a source that have a class.

    Attributes:
        source: All images.
        indices: Positions in the source of those with a class, (N,) int64, ascending.
        targets: Their class numbers, (N,) int64, each in [0, len(classes)).
        classes: Name of each class.
        origin: Where the labels come from, as text for the user.
    """

    source: ImageSource
    indices: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    origin: str

    def __len__(self) -> int:
        return len(self.indices)

    def part(self, positions: npt.NDArray[np.int64]) -> LabelledImages:
        """Return some of the images; `positions` count among those with a class, ascending."""
        return replace(self, indices=self.indices[positions], targets=self.targets[positions])

    def without_empty_classes(self) -> LabelledImages:
        """Remove the classes without an image, and renumber the others."""
        present, targets = np.unique(self.targets, return_inverse=True)
        classes = tuple(self.classes[number] for number in present)
        return replace(self, targets=targets.astype(np.int64), classes=classes)


def open_labelled(
    source: ImageSource,
    labels: str | None,
    *,
    what: str,
    other: ImageSource | None = None,
) -> LabelledImages:
    """Find the classes of images.

    Args:
        source: The images.
        labels: CSV with a header and the columns image (a path relative to the folder, as
            `ImageSource.name` returns it) and label. None: the folders directly below that of
            the source, or the labels of the dataset.
        what: Name of the setting of the images, for messages.
        other: Further images that the CSV may name.

    Returns:
        The images that have a class. `classes` are those with an image, in the order of the
        source.

    Raises:
        DataError: There are no labels, only one class, or the CSV cannot be used.
    """
    found = _from_source(source, what) if labels is None else _from_csv(source, labels, other)
    if len(found.classes) < 2:
        raise DataError(
            f"{what}: all {len(found)} images are of one class, '{shown(found.classes[0])}'; "
            f"expected at least two classes, {_REMEDY}"
        )
    return found


def same_classes(
    train: LabelledImages, val: LabelledImages
) -> tuple[LabelledImages, LabelledImages, tuple[str, ...]]:
    """Match the classes of two sets by name, so that both use the same numbers.

    Classes that only the training images have are kept: an image can be misclassified as one.

    Returns:
        Both sets, and notes to be reported with an accuracy, one sentence each.

    Raises:
        DataError: A class of the second set has no training image, so it cannot be predicted.
    """
    unknown = sorted(set(val.classes) - set(train.classes))
    if unknown:
        raise DataError(
            f"val_data has {len(unknown)} classes without any image in data: {some(unknown)}"
            f"\n  data has {some(sorted(train.classes))} ({train.origin}); both need the same "
            "names of classes: rename them, or remove these images"
        )
    missing = sorted(set(train.classes) - set(val.classes))
    notes = (f"val_data has no image of {len(missing)} classes: {some(missing)}",)
    numbers = {name: number for number, name in enumerate(train.classes)}
    translation = np.asarray([numbers[name] for name in val.classes], np.int64)
    renamed = replace(val, targets=translation[val.targets], classes=train.classes)
    return train, renamed, notes if missing else ()


def _from_source(source: ImageSource, what: str) -> LabelledImages:
    labels = source.labels()
    if labels is None:
        raise DataError(f"{what}: no labels: {_why_no_labels(source)}\n  {_REMEDY}")
    indices = np.flatnonzero(labels.targets >= 0)
    if not len(indices):
        raise DataError(f"{what}: none of the {len(source)} images has a label; {_REMEDY}")
    found = LabelledImages(source, indices, labels.targets[indices], labels.classes, labels.origin)
    return found.without_empty_classes()


def _why_no_labels(source: ImageSource) -> str:
    """Return the reason why a source has no labels."""
    if not isinstance(source, FolderSource):
        return source.why_no_labels()
    if not source.class_folders:
        return "class folders are used only if data is a single folder"
    tops: set[str] = set()
    for index in range(len(source)):
        name = source.name(index)
        folder, slash, _ = name.partition("/")
        if not slash:
            return f"'{shown(name)}' is not in a class folder"
        tops.add(folder)
    return f"all {len(source)} images are of one class, the folder '{shown(tops.pop())}'"


def _from_csv(source: ImageSource, file: str, other: ImageSource | None) -> LabelledImages:
    by_name = _read_csv(Path(file).expanduser())
    names = {source.name(index): index for index in range(len(source))}
    missing = by_name.keys() - names.keys()
    if other is not None and missing:
        missing -= {other.name(index) for index in range(len(other))}
    rows = [(names[name], label) for name, label in by_name.items() if name in names]
    if missing or not rows:
        listed = some(sorted(missing or by_name.keys()))
        raise DataError(
            f"'{file}' names {len(missing or by_name)} images that are not in the data: {listed}"
            f"\n  expected names such as '{shown(next(iter(names)))}', relative to the folder"
        )
    if len(rows) < len(names):
        log.info("%d images without a label are skipped", len(names) - len(rows))
    classes = tuple(sorted({label for _, label in rows}))
    numbers = {name: number for number, name in enumerate(classes)}
    table = np.asarray(sorted((index, numbers[label]) for index, label in rows), np.int64)
    return LabelledImages(source, table[:, 0], table[:, 1], classes, file)


def _read_csv(file: Path) -> dict[str, str]:
    """Return the label of each image by name."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            header = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            image = next((name for name in header if name.lower() in IMAGE_COLUMNS), None)
            label = next((name for name in header if name.lower() in LABEL_COLUMNS), None)
            rows = list(reader) if image is not None and label is not None else []
    except FileNotFoundError:
        raise DataError(f"labels: there is no file '{file}'\n  check the path") from None
    except (UnicodeDecodeError, csv.Error, IsADirectoryError) as error:
        raise DataError(f"labels: '{file}' is not a CSV in UTF-8: {error}") from error
    if image is None or label is None:
        raise DataError(
            f"labels: '{file}' has the columns {some(header) or 'none'}; expected a header with "
            "image and label"
        )
    found: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        name, text = (row[image] or "").strip(), (row[label] or "").strip()
        if not name or not text:
            raise DataError(
                f"labels: line {number} of '{file}' lacks {'a label' if name else 'an image'}"
            )
        if found.setdefault(name, text) != text:
            raise DataError(
                f"labels: '{file}' gives '{shown(name)}' two labels, '{shown(found[name])}' and "
                f"'{shown(text)}'"
            )
    if not found:
        raise DataError(f"labels: '{file}' has no rows")
    return found
