"""The data sets and networks of the first hour."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from attrs import asdict, define, field

from examples.subset import make_subset
from lightly_core.advising import evidence
from tools.first_hour.unpacking import unpack_archive, write_digits, write_fashion

#: Test images of each class, at most.
TEST_PER_CLASS = 500


@define(frozen=True, kw_only=True)
class Case(evidence.Case):
    """A data set and a network, and how they are made. A tenth of the images is of each class.

    Attributes:
        source: Name of the archive or folder that the images are taken from.
        unpack: Writes the images of that into a folder.
        train: Folder of the training images in it.
        test: Folder of the test images.
        run: Further settings of the run.
        num_test: Test images, 500 of each class where there are as many.
    """

    source: str
    unpack: Callable[[Path, Path], None]
    train: str = "train"
    test: str = "test"
    run: dict[str, Any] = field(factory=dict)
    num_test: int

    def settings(self) -> dict[str, Any]:
        """Return the settings of `lightly run` for all rows."""
        return {"model": self.model, "transform_args": {"image_size": self.side}, **self.run}

    def data(self, archives: Path, folder: Path) -> dict[str, str]:
        """Unpack what is missing, and return the folders of the images.

        Args:
            archives: Folder of the archives and data sets.
            folder: Where images are unpacked.
        """
        unpacked = folder / self.source.partition(".")[0]
        if not unpacked.is_dir():
            _make(unpacked, lambda target: self.unpack(archives / self.source, target))
        places = {}
        wanted = {"train": (self.train, self.images // 10), "val": (self.test, TEST_PER_CLASS)}
        for key, (source, per_class) in wanted.items():
            target = folder / f"{unpacked.name}-{key}-{per_class}"
            if not target.is_dir():
                _make(target, partial(make_subset, unpacked / source, per_class=per_class))
            places[key] = str(target)
        return places


def _make(folder: Path, write: Callable[[Path], object]) -> None:
    """Write a folder elsewhere and move it, so that one that exists is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        write(Path(temporary, folder.name))
        Path(temporary, folder.name).rename(folder)


def _cifar(case: evidence.Case, **run: object) -> Case:
    archive = "cifar10.tar.gz"
    return Case(**asdict(case), source=archive, unpack=unpack_archive, run=run, num_test=5_000)


def _imagenette(case: evidence.Case, **run: object) -> Case:
    place = {"source": "imagenette160.tar.gz", "unpack": unpack_archive, "test": "val"}
    return Case(**asdict(case), **place, run=run, num_test=3_925)


def _fashion(case: evidence.Case, **run: object) -> Case:
    name = "fashion-mnist"
    return Case(**asdict(case), source=name, unpack=write_fashion, run=run, num_test=5_000)


def _digits(case: evidence.Case, **run: object) -> Case:
    return Case(**asdict(case), source="digits", unpack=write_digits, run=run, num_test=797)


_MAKERS = {
    "CIFAR-10": _cifar,
    "Imagenette": _imagenette,
    "Fashion-MNIST": _fashion,
    "digits": _digits,
}
#: Further settings of the run of some cases.
_SETTINGS: dict[str, dict[str, Any]] = {
    "cifar5k-vit": {"model_args": {"img_size": 32, "patch_size": 4}},
    "cifar5k-resnet18": {"model_args": {"small_stem": True}},
    "imagenette5k-vit": {"model_args": {"img_size": 64, "patch_size": 8}},
}
CASES = {
    name: _MAKERS[case.data_set](case, **_SETTINGS.get(name, {}))
    for name, case in evidence.read_cases().items()
}
