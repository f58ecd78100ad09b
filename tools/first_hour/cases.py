"""The data sets and networks of the first hour."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

from attrs import define, field

from examples.subset import make_subset

#: Test images of each class, at most.
TEST_PER_CLASS = 500


@define(frozen=True, kw_only=True)
class Case:
    """A data set and a network.

    Attributes:
        name: Name in the table.
        archive: Archive with `train` and another folder of class folders.
        train: Folder of the training images in the archive.
        test: Folder of the test images.
        images: Training images, a tenth of them from each of ten classes.
        side: Size of a view in pixels.
        model: Network.
        run: Further settings of the run.
        num_test: Test images, 500 of each class where there are as many.
    """

    name: str
    archive: str
    train: str
    test: str
    images: int
    side: int
    model: str
    run: dict[str, Any] = field(factory=dict)
    num_test: int

    def settings(self) -> dict[str, Any]:
        """Return the settings of `lightly run` for all rows."""
        return {"model": self.model, "transform_args": {"image_size": self.side}, **self.run}

    def data(self, archives: Path, folder: Path) -> dict[str, str]:
        """Unpack what is missing, and return the folders of the images.

        Args:
            archives: Folder of the archives.
            folder: Where images are unpacked.
        """
        unpacked = folder / self.archive.partition(".")[0]
        if not unpacked.is_dir():
            with tarfile.open(archives / self.archive) as archive:
                archive.extractall(folder, filter="data")
        places = {}
        wanted = {"train": (self.train, self.images // 10), "val": (self.test, TEST_PER_CLASS)}
        for key, (source, per_class) in wanted.items():
            target = folder / f"{unpacked.name}-{key}-{per_class}"
            if not target.is_dir():
                make_subset(folder / source, target, per_class)
            places[key] = str(target)
        return places


def _cifar(name: str, images: int, model: str = "timm/test_resnet", **run: object) -> Case:
    return Case(
        name=name,
        archive="cifar10.tar.gz",
        train="cifar10/train",
        test="cifar10/test",
        images=images,
        side=32,
        model=model,
        run=run,
        num_test=5_000,
    )


def _imagenette(name: str, images: int, side: int, model: str, **run: object) -> Case:
    return Case(
        name=name,
        archive="imagenette160.tar.gz",
        train="imagenette160/train",
        test="imagenette160/val",
        images=images,
        side=side,
        model=model,
        run=run,
        num_test=3_925,
    )


_PATCHES_OF_4 = {"img_size": 32, "patch_size": 4}
_PATCHES_OF_8 = {"img_size": 64, "patch_size": 8}

CASES = {
    case.name: case
    for case in (
        _cifar("cifar1k", 1_000),
        _cifar("cifar5k", 5_000),
        _cifar("cifar20k", 20_000),
        _cifar("cifar5k-vit", 5_000, "timm/test_vit", model_args=_PATCHES_OF_4),
        _cifar("cifar5k-resnet18", 5_000, "torchvision/resnet18", model_args={"small_stem": True}),
        _imagenette("imagenette1k", 1_000, 64, "timm/test_resnet"),
        _imagenette("imagenette5k", 5_000, 64, "timm/test_resnet"),
        _imagenette("imagenette5k-96", 5_000, 96, "timm/test_resnet"),
        _imagenette("imagenette5k-vit", 5_000, 64, "timm/test_vit", model_args=_PATCHES_OF_8),
    )
}
