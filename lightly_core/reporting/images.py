"""Reads what `lightly_core.reporting.capture` wrote. Files of older versions may be missing."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lightly_core.data.names import shown
from lightly_core.reporting.pictures import Sheet, read_sheet
from lightly_core.reporting.record import DATA_FOLDER, read_json

#: The two networks that are compared.
STATES = ("before", "after")
_BROKEN = (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile)


@dataclass(frozen=True, eq=False)
class ImageSet:
    """The images of a report and their features.

    Attributes:
        names: Name of each image, (N,).
        labels: Class of each image, (N,) int64; negative: none.
        classes: Name of each class.
        from_val_data: Whether the images are those of `val_data`.
        thumbnails: Pictures of all images in their order; None: the file is missing.
        features: By state, rows of length 1 (N, D), of length 0 where they are not known.
        patches: By state, patch features of the first images as colours.
    """

    names: list[str]
    labels: npt.NDArray[np.int64]
    classes: list[str]
    from_val_data: bool
    thumbnails: Sheet | None
    features: dict[str, npt.NDArray[np.float32]]
    patches: dict[str, Sheet]


@dataclass(frozen=True)
class ViewKind:
    """Views with the same options.

    Attributes:
        name: Whether they are global or local.
        size: Height and width in pixels.
        number: Views of this kind of one image.
        shown: How many of them are shown.
        images: Images that are shown.
        options: What is done to them, in a few words each.
        address: Data URI of the picture.
    """

    name: str
    size: str
    number: int
    shown: int
    images: int
    options: list[str]
    address: str


def read_images(folder: Path) -> ImageSet | None:
    """Read the images of a run; None if there are none."""
    data = folder / DATA_FOLDER
    facts = read_json(data / "images.json")
    try:
        indices = [int(index) for index in facts["indices"]]
        names = [shown(str(name)) for name in facts["names"]]
        columns, num_patches = int(facts["columns"]), int(facts.get("num_patches", 0))
        labels = np.asarray(facts.get("labels") or [-1] * len(names), np.int64)
        classes = [shown(str(name)) for name in facts.get("classes", [])]
    except _BROKEN:
        return None
    if not names or not len(names) == len(indices) == len(labels):
        return None
    labels[labels >= len(classes)] = -1
    features = {state: _features(data / f"{state}.npz", indices) for state in STATES}
    patches = {state: read_sheet(data / f"patches_{state}.png", num_patches, 1) for state in STATES}
    return ImageSet(
        names=names,
        labels=labels,
        classes=classes,
        from_val_data=bool(facts.get("from_val_data")),
        thumbnails=read_sheet(data / "images.jpg", columns, -(-len(names) // columns)),
        features={state: rows for state, rows in features.items() if rows is not None},
        patches={state: sheet for state, sheet in patches.items() if sheet is not None},
    )


def read_views(folder: Path) -> list[ViewKind]:
    """Read the kinds of views of a run; empty if there are none."""
    data = folder / DATA_FOLDER
    kinds = []
    for number, facts in enumerate(read_json(data / "views.json") or []):
        try:
            height, width = facts["size"]
            sheet = read_sheet(data / f"views_{number}.jpg", 1, 1)
            if sheet is not None:
                kinds.append(
                    ViewKind(
                        name=shown(str(facts["name"])),
                        size=f"{int(height)} × {int(width)}",  # noqa: RUF001
                        number=int(facts["views"]),
                        shown=int(facts["columns"]),
                        images=int(facts["rows"]),
                        options=[shown(text) for text in _options(facts["options"])],
                        address=sheet.address,
                    )
                )
        except _BROKEN:
            continue
    return kinds


def _options(options: dict[str, Any]) -> list[str]:
    """Return the augmentations of a view as texts; those that are off are left out."""
    texts = []
    for name, value in options.items():
        if isinstance(value, dict):
            inner = ", ".join(
                f"{key} {_short(part)}" for key, part in value.items() if part is not None
            )
            texts.append(f"{name}: {inner}" if inner else name)
        elif value is not None:
            texts.append(f"{name}: {_short(value)}")
    return texts


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _features(path: Path, indices: list[int]) -> npt.NDArray[np.float32] | None:
    """Read features in the order of the images; None if they are missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            rows, found = file["features"].astype(np.float32), file["indices"]
    except _BROKEN:
        return None
    by_index = {int(index): row for index, row in zip(found, rows, strict=False)}
    if rows.ndim != 2 or not set(by_index) & set(indices):
        return None
    nothing = np.zeros(rows.shape[1], np.float32)
    return np.stack([by_index.get(index, nothing) for index in indices])
