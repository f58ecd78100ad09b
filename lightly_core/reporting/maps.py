"""Maps of the images by their features, and their nearest neighbours, as plain data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from lightly_core.reporting.images import STATES, ImageSet
from lightly_core.reporting.pictures import Sheet
from lightly_core.reporting.projection import (
    can_umap,
    nearest,
    principal_components,
    same_class,
    umap_layout,
)

#: Classes with a colour and a form of their own. The others are shown as one.
MAX_CLASSES = 12
#: Images whose neighbours are shown, and how many.
QUERIES, NEIGHBOURS = 10, 5
#: Images below which a map means nothing.
_LEAST_IMAGES = 5


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet.

    Attributes:
        style: CSS that shows it.
        text: Description for screen readers.
        same: Whether its class is that of the query; None: there are no classes.
    """

    style: str
    text: str
    same: bool | None = None


@dataclass(frozen=True)
class Neighbours:
    """An image with its nearest neighbours, by state."""

    query: Tile
    found: dict[str, list[Tile]]


@dataclass(frozen=True)
class Patches:
    """An image with its patch features as colours, by state."""

    image: Tile
    maps: dict[str, Tile]


@dataclass(frozen=True)
class MapData:
    """What is shown of the images of a run.

    Attributes:
        run: Number of the run.
        drawn: Points and layouts for the script.
        layouts: Names of the layouts.
        states: States with features.
        note: What the maps show, in sentences.
        neighbours: Some images with their neighbours.
        patches: Some images with their patch features.
        sheets: Data URIs by name of their CSS variable.
    """

    run: int
    drawn: dict[str, Any]
    layouts: list[str]
    states: list[str]
    note: str
    neighbours: list[Neighbours] = field(default_factory=list)
    patches: list[Patches] = field(default_factory=list)
    sheets: dict[str, str] = field(default_factory=dict)


def map_of(images: ImageSet, run: int, *, umap: bool) -> MapData | None:
    """Return maps and neighbours of the images of a run; None if there is nothing to show.

    Args:
        images: The images.
        run: Number of the run.
        umap: Whether UMAP is used where it is installed.
    """
    usable = {
        state: rows
        for state, rows in images.features.items()
        if (np.abs(rows).sum(axis=1) > 0).sum() >= _LEAST_IMAGES
    }
    if not usable:
        return None
    layouts = {"PCA": {state: _pca(rows) for state, rows in usable.items()}}
    if umap and can_umap():
        layouts["UMAP"] = {state: _placed(rows, umap_layout) for state, rows in usable.items()}
    sheets = {} if images.thumbnails is None else {f"images-{run}": images.thumbnails.address}
    sheets |= {f"patches-{state}-{run}": sheet.address for state, sheet in images.patches.items()}
    groups, labels = _groups(images)
    drawn = {
        "run": run,
        "names": images.names,
        "classes": [images.classes[label] if label >= 0 else "" for label in images.labels],
        "groups": groups,
        "labels": labels,
        "styles": [
            tile_style(images.thumbnails, f"images-{run}", number) for number in range(len(labels))
        ],
        "layouts": layouts,
    }
    neighbours = {state: nearest(rows, NEIGHBOURS) for state, rows in usable.items()}
    return MapData(
        run=run,
        drawn=drawn,
        layouts=list(layouts),
        states=[state for state in STATES if state in usable],
        note=_note(images, usable, neighbours),
        neighbours=_neighbours(images, neighbours, run),
        patches=_patches(images, run),
        sheets=sheets,
    )


def tile_style(sheet: Sheet | None, name: str, number: int) -> str:
    """Return the CSS that shows one picture of a sheet, which is in the CSS variable `name`."""
    if sheet is None:
        return ""
    row, column = divmod(number, sheet.columns)
    x, y = 100 * column / max(sheet.columns - 1, 1), 100 * row / max(sheet.rows - 1, 1)
    return (
        f"background-image:var(--{name});"
        f"background-size:{100 * sheet.columns}% {100 * sheet.rows}%;"
        f"background-position:{x:.4g}% {y:.4g}%;aspect-ratio:{sheet.width}/{sheet.height}"
    )


def _pca(rows: npt.NDArray[np.float32]) -> dict[str, Any]:
    return _placed(rows, lambda known: principal_components(known, 2)[0])


def _placed(rows: npt.NDArray[np.float32], layout: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return coordinates of the rows; None for rows without features."""
    known = np.abs(rows).sum(axis=1) > 0
    found = layout(rows[known]).round(4)
    points: list[list[float] | None] = [None] * len(rows)
    for number, point in zip(np.flatnonzero(known), found.tolist(), strict=True):
        points[number] = point
    return {"points": points}


def _groups(images: ImageSet) -> tuple[list[str], list[int]]:
    """Return the names of the groups with a mark of their own, and the group of each image."""
    counts = Counter(int(label) for label in images.labels if label >= 0)
    largest = sorted(label for label, _ in counts.most_common(MAX_CLASSES))
    numbers = {label: number for number, label in enumerate(largest)}
    labels = [numbers.get(int(label), len(largest)) for label in images.labels]
    names = [images.classes[label] for label in largest]
    if len(largest) in labels:
        names.append("other images" if largest else "images")
    return names, labels


def _note(
    images: ImageSet,
    usable: dict[str, npt.NDArray[np.float32]],
    neighbours: dict[str, npt.NDArray[np.int64]],
) -> str:
    origin = "images of val_data" if images.from_val_data else "training images"
    note = f"{len(images.names)} {origin}, placed by their features."
    parts = []
    for state, found in neighbours.items():
        fraction = same_class(found, images.labels)
        if fraction is not None:
            parts.append(f"{100 * fraction:.0f} % {state}")
    if parts:
        note += (
            f" Of the {NEIGHBOURS} nearest neighbours of an image, {' and '.join(parts)} training "
            "are of its class."
        )
    if "before" not in usable:
        note += " The features before training are not known."
    if "after" not in usable:
        note += " The features after training are not known."
    return note


def _neighbours(
    images: ImageSet, neighbours: dict[str, npt.NDArray[np.int64]], run: int
) -> list[Neighbours]:
    if images.thumbnails is None:
        return []

    def tile(number: int, query: int | None = None) -> Tile:
        own = int(images.labels[number])
        same = None if query is None or own < 0 else own == int(images.labels[query])
        return Tile(
            tile_style(images.thumbnails, f"images-{run}", number), _text(images, number), same
        )

    return [
        Neighbours(
            tile(query),
            {
                state: [tile(int(number), query) for number in neighbours[state][query]]
                for state in STATES
                if state in neighbours
            },
        )
        for query in _queries(images)
    ]


def _queries(images: ImageSet) -> list[int]:
    """Return images of as many classes as possible, in their order."""
    firsts = {int(label): number for number, label in reversed(list(enumerate(images.labels)))}
    chosen = sorted(firsts.values())[:QUERIES]
    others = [number for number in range(len(images.names)) if number not in chosen]
    return (chosen + others)[:QUERIES]


def _patches(images: ImageSet, run: int) -> list[Patches]:
    sheets = images.patches
    if not sheets or images.thumbnails is None:
        return []
    number = min(len(images.names), *(sheet.columns for sheet in sheets.values()))
    return [
        Patches(
            Tile(tile_style(images.thumbnails, f"images-{run}", position), _text(images, position)),
            {
                state: Tile(
                    tile_style(sheet, f"patches-{state}-{run}", position),
                    f"Patch features {state} training",
                )
                for state, sheet in sheets.items()
            },
        )
        for position in range(number)
    ]


def _text(images: ImageSet, number: int) -> str:
    label = int(images.labels[number])
    return images.names[number] + (f", class {images.classes[label]}" if label >= 0 else "")
