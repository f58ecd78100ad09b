"""Evaluate two networks trained with labels, and compare with their own classifiers.

    python examples/evaluate_teachers.py \
        --cifar10 cifar10 --resnet56 cifar10-resnet56-4bfd9763.th \
        --imagenette imagenette160 --lite0 lite0.pth --out out/teachers

This checks the evaluation. On the features of a network that was trained to classify the same
images, kNN and a linear classifier should be as accurate as the network's last layer. Each folder
holds ``train``, and ``test`` or ``val``, with a folder for each class. The two networks can also be
evaluated separately. `--images-per-class` uses only the first training images of each class.

ResNet-56 for CIFAR is a file of akamaster/pytorch_resnet_cifar10, see `cifar_teacher.py`. LITE0 is
written by `efficientnet_lite0_to_timm.py`. The accuracies of the networks' own classifiers were
measured on the test images of CIFAR-10, and on those of Imagenette at 160 pixels, where the
prediction is the best of the ten classes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifar_teacher import cifar_teacher
from subset import make_subset

import lightly_core

#: (x - 127) / 128 for x in 0..255, as in the training of EfficientNet-Lite0.
_LITE0 = {
    "model": "timm/tf_efficientnet_lite0",
    "mean": (127 / 255,) * 3,
    "std": (128 / 255,) * 3,
    "image_size": 224,
}


@dataclass(frozen=True)
class Teacher:
    """A network and the images that it is evaluated on.

    Attributes:
        name: Name in the table.
        settings: Arguments of `lightly_core.evaluate` for the network and its input.
        folder: Folder of the training and test images.
        classifier: Accuracy of the network's own last layer on the test images, in percent.
    """

    name: str
    settings: Mapping[str, Any]
    folder: Path
    classifier: float


def measure(
    teacher: Teacher, per_class: int | None, out: Path | None
) -> lightly_core.EvaluationResult:
    """Evaluate a teacher.

    Args:
        teacher: Network and images.
        per_class: Training images of each class; None: all.
        out: Folder for the results as JSON; None: no file.
    """
    test = next(path for path in map(teacher.folder.joinpath, ("test", "val")) if path.is_dir())
    with tempfile.TemporaryDirectory() as temporary:
        train = teacher.folder / "train"
        if per_class is not None:
            make_subset(train, Path(temporary) / "train", per_class)
            train = Path(temporary) / "train"
        return lightly_core.evaluate(
            **teacher.settings,
            data=train,
            val_data=test,
            out=None if out is None else out / f"{teacher.name}.json",
            overwrite=True,
        )


def row(teacher: Teacher, result: lightly_core.EvaluationResult) -> str:
    """Return a line of the Markdown table."""
    knn = [f"{100 * result.top1('knn', k=k):.2f}" for k in (20, 200)]
    linear = f"{100 * result.top1('linear'):.2f}"
    num_train = result.results[0]["data"]["num_train"]
    cells = [teacher.name, str(num_train), f"{teacher.classifier:.2f}", *knn, linear]
    return f"| {' | '.join(cells)} |"


def _teachers(options: argparse.Namespace) -> list[Teacher]:
    teachers = []
    if options.cifar10 and options.resnet56:
        settings = {"model": cifar_teacher(options.resnet56), "image_size": 32}
        teachers.append(Teacher("ResNet-56, CIFAR-10", settings, options.cifar10, 93.39))
    if options.imagenette and options.lite0:
        settings = {**_LITE0, "checkpoint": options.lite0}
        teachers.append(
            Teacher("EfficientNet-Lite0, Imagenette", settings, options.imagenette, 97.4)
        )
    return teachers


def main() -> None:
    """Read the command line, evaluate, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("cifar10", "resnet56", "imagenette", "lite0", "out"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--images-per-class", type=int)
    options = parser.parse_args()
    teachers = _teachers(options)
    if not teachers:
        parser.error("give --cifar10 with --resnet56, or --imagenette with --lite0")
    rows = [
        row(teacher, measure(teacher, options.images_per_class, options.out))
        for teacher in teachers
    ]
    print("\nTop-1 accuracies on the test images in percent:\n")
    print("| network | training images | own classifier | kNN, k=20 | kNN, k=200 | linear |")
    print("|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
