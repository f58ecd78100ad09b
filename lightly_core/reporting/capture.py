"""Takes the pictures and features of a report during a run. Changes neither model nor randomness.

Files below `report_data/`: `images.json` and `images.jpg` (the images and their thumbnails),
`before.npz` and `after.npz` (features of length 1, half precision), `patches_before.png` and
`patches_after.png` (patch features as colours), `views.json` and `views_N.jpg`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.atomic import atomic_path
from lightly_core.config.options.fields import plain
from lightly_core.config.options.transform import ViewSpec
from lightly_core.contracts import ModelWrapper
from lightly_core.data.base import ImageSource
from lightly_core.data.dataset import RawBatch
from lightly_core.data.views.two_stage import visible
from lightly_core.evaluation.features import batch_features, extract_features, frozen
from lightly_core.evaluation.sample import ImageSample
from lightly_core.reporting.pictures import Pixels, shrunk, tiled, write_exact, write_picture
from lightly_core.reporting.projection import principal_components
from lightly_core.reporting.record import DATA_FOLDER, read_json

#: Longest side of a thumbnail and of a view, in pixels.
THUMBNAIL, VIEW = 80, 112
#: Columns of the file with the thumbnails.
COLUMNS = 20
#: Images whose patch features are shown, and images and views of each kind whose views are.
PATCH_IMAGES, VIEW_IMAGES, MOST_VIEWS = 8, 5, 6
#: Positions that a feature map must have along its longer side to be shown.
_LEAST_MAP = 4
_THUMBNAIL_BYTES, _VIEW_BYTES = 700_000, 250_000


@dataclass(frozen=True)
class Network:
    """How features are computed.

    Attributes:
        wrapper: The network as it would be exported.
        device: Where its parameters are.
        num_workers: Processes that read images.
        precision: Type for autocast; None: none.
        channels_last: Memory format of the images.
    """

    wrapper: ModelWrapper
    device: torch.device
    num_workers: int = 0
    precision: torch.dtype | None = None
    channels_last: bool = False


class Capture:
    """Takes pictures and features of the same images before and after training.

    Args:
        sample: The images.
        folder: The run folder.
        from_val_data: Whether the images are those of `val_data`.
    """

    def __init__(self, sample: ImageSample, folder: Path, *, from_val_data: bool) -> None:
        self._sample = sample
        self._folder = folder / DATA_FOLDER
        self._from_val_data = from_val_data

    def before(self, network: Network) -> None:
        """Write thumbnails and features before the first step."""
        batches = self._sample.batches(network.num_workers)
        self._write_images(batches)
        self._measure(network, batches, "before")

    def after(self, network: Network) -> None:
        """Write the features after training, of the images that the first start has chosen."""
        found = read_json(self._folder / "images.json")
        if isinstance(found, dict) and found.get("indices"):
            self._choose(found["indices"])
        batches = self._sample.batches(network.num_workers)
        if not isinstance(found, dict):  # the run was started by an older version
            self._write_images(batches)
        self._measure(network, batches, "after")

    def _choose(self, indices: Sequence[int]) -> None:
        sample = self._sample
        if not set(indices) <= set(sample.indices) and max(indices) < len(sample.source):
            self._sample = ImageSample(sample.source, list(indices), sample.transform)

    def _write_images(self, batches: Sequence[RawBatch]) -> None:
        thumbnails = [
            shrunk(picture, THUMBNAIL) for batch in batches for picture in pictures(batch.pixels[0])
        ]
        if not thumbnails:
            return
        sheet = tiled(thumbnails, COLUMNS)
        write_picture(self._folder / "images.jpg", sheet, _THUMBNAIL_BYTES)
        indices = [int(index) for batch in batches for index in batch.indices]
        source = self._sample.source
        facts = {
            "indices": indices,
            "names": [source.name(index) for index in indices],
            **_labels(source, indices),
            "columns": COLUMNS,
            "num_patches": min(PATCH_IMAGES, len(batches[0].indices)),
            "from_val_data": self._from_val_data,
        }
        _write_json(self._folder / "images.json", facts)

    def _measure(self, network: Network, batches: Sequence[RawBatch], when: str) -> None:
        if not batches:
            return
        features, indices = extract_features(
            network.wrapper,
            batches,
            self._sample.transform,
            network.device,
            precision=network.precision,
            channels_last=network.channels_last,
        )
        finite = torch.isfinite(features).all(dim=1, keepdim=True)
        # Rows that are not finite become zeros, which `read_images` leaves out.
        rows = F.normalize(torch.where(finite, features, 0.0), dim=1).half().numpy()
        with atomic_path(self._folder / f"{when}.npz") as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, features=rows, indices=indices.numpy())
        picture = patch_picture(self._patches(network, batches[0]))
        if picture is not None:
            write_exact(self._folder / f"patches_{when}.png", picture)

    def _patches(self, network: Network, batch: RawBatch) -> npt.NDArray[np.float32]:
        """Return the feature maps (B, D, h, w) of the first images."""
        first = RawBatch(
            [batch.pixels[0][:PATCH_IMAGES]],
            [batch.parameters[0][:PATCH_IMAGES]],
            batch.indices[:PATCH_IMAGES],
        )
        with frozen(network.wrapper, network.device):
            maps = batch_features(
                network.wrapper,
                first,
                self._sample.transform,
                network.device,
                kind="patch",
                precision=network.precision,
                channels_last=network.channels_last,
            )
        return np.asarray(maps.cpu().numpy(), np.float32)


def patch_picture(maps: npt.NDArray[np.float32]) -> Pixels | None:
    """Return the first three principal components of patch features as red, green and blue.

    Args:
        maps: (B, D, h, w).

    Returns:
        The B pictures in a row, (h, B * w, 3); None for maps that are too small or not finite.
    """
    number, _, height, width = maps.shape
    if max(height, width) < _LEAST_MAP or not np.isfinite(maps).all():
        return None
    rows = np.moveaxis(maps, 1, 3).reshape(number * height * width, -1)
    colours, _ = principal_components(rows, 3)
    low, high = np.percentile(colours, [2, 98], axis=0)
    scaled = np.clip((colours - low) / np.maximum(high - low, 1e-12), 0, 1)
    squares = (255 * scaled).round().astype(np.uint8).reshape(number, height, width, 3)
    return tiled(list(squares), number)


def write_views(
    folder: Path,
    views: Sequence[Tensor],
    specs: Sequence[ViewSpec],
    mean: Sequence[float],
    std: Sequence[float],
) -> None:
    """Write the views of a few images, one picture for each kind of view.

    Args:
        folder: The run folder.
        views: Normalised views, (B, C, H, W) each.
        specs: Description of each view.
        mean: Mean of the normalisation.
        std: Standard deviation of the normalisation.
    """
    groups: list[tuple[ViewSpec, list[Tensor]]] = []
    for view, spec in zip(views, specs, strict=True):
        same = next((members for known, members in groups if known == spec), None)
        if same is None:
            groups.append((spec, [view]))
        else:
            same.append(view)
    largest = max(spec.size for spec in specs)
    kinds = []
    for number, (spec, members) in enumerate(groups):
        shown = members[:MOST_VIEWS]
        columns = [visible(view[:VIEW_IMAGES], mean, std) for view in shown]
        tiles = [shrunk(column[row], VIEW) for row in range(len(columns[0])) for column in columns]
        path = folder / DATA_FOLDER / f"views_{number}.jpg"
        write_picture(path, tiled(tiles, len(shown), gap=4), _VIEW_BYTES)
        kinds.append(
            {
                "name": "Global views" if spec.size == largest else "Local views",
                "size": list(spec.size),
                "views": len(members),
                "columns": len(shown),
                "rows": len(columns[0]),
                "options": {name: value for name, value in plain(spec).items() if name != "size"},
            }
        )
    _write_json(folder / DATA_FOLDER / "views.json", kinds)


def pictures(pixels: Tensor) -> list[Pixels]:
    """Return pixels (B, C, H, W), uint8 or float in [0, 1], as pictures (H, W, 3) each."""
    scaled = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
    return list(visible(scaled, (0.0,), (1.0,)))


def _labels(source: ImageSource, indices: Sequence[int]) -> dict[str, object]:
    labels = source.labels()
    if labels is None:
        return {"labels": [], "classes": []}
    return {
        "labels": [int(labels.targets[index]) for index in indices],
        "classes": list(labels.classes),
    }


def _write_json(path: Path, content: object) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")
