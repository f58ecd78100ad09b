"""Compare the distillations, SimCLR, a random student and the teacher on real images.

    python examples/distillation_benchmark.py --data-set cifar --train cifar10/train \
        --test cifar10/test --images-per-class 500 --minutes 10 --out out/cifar \
        --weights cifar10-resnet56-4bfd9763.th
    python examples/distillation_benchmark.py --data-set imagenette --train imagenette160/train \
        --test imagenette160/val --images-per-class 200 --minutes 10 --out out/imagenette \
        --student timm/resnet10t --weights lite0.pth

`--weights` is the teacher's file: a ResNet for CIFAR (see `cifar_teacher.py`), or for Imagenette an
EfficientNet-Lite0 in timm's layout (`efficientnet_lite0_to_timm.py` writes it). Students start from
random weights and see no labels. `--minutes` gives every method the same time: its step, with the
teacher's part, is timed on this machine first, and as many epochs are run as fit best; `seconds` in
the table is what training then really took. Accuracies are those of the frozen features on the test
images, see `frozen_features.py`; the losses are means of the first and the last logged interval,
which is an epoch where it has no more than 50 steps. Each row is appended to OUT/rows.csv, and
OUT/table.md shows all of them.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark_tables import Entry, as_command, as_python, first_and_last_loss, write_entry
from benchmark_timing import Stopwatch, epochs_for, seconds_per_step
from cifar_teacher import cifar_teacher
from frozen_features import accuracy
from subset import make_subset

import lightly_core
from lightly_core.config.options.augmentations import NormalizeArgs
from lightly_core.config.reading.keyvalue import parse_pairs
from lightly_core.contracts import ModelWrapper
from lightly_core.contracts.capabilities import InputNormalization
from lightly_core.data.views.two_stage import EvalTransform
from lightly_core.export.weights import load_weights

#: (x - 127) / 128 for x in 0..255, as EfficientNet-Lite0 was trained.
_LITE0_NORMALIZE = {"mean": [127 / 255] * 3, "std": [128 / 255] * 3}
_LITE0 = "timm/tf_efficientnet_lite0"


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        method: Name of the method; empty where nothing is trained.
        loss: What distinguishes it from other rows of the method.
        method_args: Options of the method beside the teacher.
    """

    method: str
    loss: str = ""
    method_args: Mapping[str, object] = field(default_factory=dict)

    @property
    def has_teacher(self) -> bool:
        """Whether the method takes a teacher."""
        return self.method.startswith("distillation")


def _second_version(loss: str) -> Row:
    # One block, as a convolutional teacher behind these wrappers has one map.
    return Row("distillationv2", loss, {"loss": loss, "n_teacher_blocks": 1})


ROWS = {
    "random": Row(""),
    # Batches of 128 and less than an hour: 0.1, SimCLR's default, is for far longer training.
    "simclr": Row("simclr", "NT-Xent", {"temperature": 0.5}),
    "v1": Row("distillationv1", "queue KL"),
    "v2-mse": _second_version("mse"),
    "v2-normalized_mse": _second_version("normalized_mse"),
    "v2-cosine": _second_version("cosine"),
    "v3": Row("distillationv3", "queue KL + relational KL"),
    "teacher": Row(""),
}
_IMAGE_SIZES = {"cifar": 32, "imagenette": 128}


def run_settings(row: Row, options: argparse.Namespace, out: Path, epochs: int) -> dict[str, Any]:
    """Return the arguments of `lightly_core.pretrain` for a row.

    Args:
        row: Which row; one without a method gives an untrained student for 0 epochs.
        options: Those of the command line, with ``images``, the folder to train on.
        out: Run folder.
        epochs: Passes over the images.
    """
    transform: dict[str, object] = {"image_size": _IMAGE_SIZES[options.data_set]}
    settings: dict[str, Any] = {
        "out": str(out),
        "data": str(options.images),
        "model": options.student,
        "method": row.method or "simclr",
        "method_args": dict(row.method_args),
        "epochs": epochs,
        "batch_size": options.batch_size,
        "num_workers": options.num_workers,
        "seed": options.seed,
        "callbacks": {"knn": None},  # measured afterwards, on the test images
        "transform_args": transform,
        "overwrite": True,
    }
    if arguments := student_args(options):
        settings["model_args"] = arguments
    if options.optim == "adamw":
        settings["optim"] = "adamw"
        settings["optim_args"] = {"lr": options.lr, "lr_scale_method": "none"}
    if options.data_set == "cifar" and row.method == "simclr":
        # The paper's changes for images of 32 pixels, appendix B.9.
        transform.update(gaussian_blur=None, color_jitter={"strength": 0.5})
    if row.has_teacher:
        settings["method_args"].update(teacher_args(options))
    settings = merged(settings, parse_pairs(options.set))
    return settings if row.method else {**settings, "epochs": 0}


def student_args(options: argparse.Namespace) -> dict[str, object]:
    """Return `model_args`: torchvision's ResNets need a stem for small images."""
    small = options.data_set == "cifar" and options.student.startswith("torchvision/resnet")
    return {"small_stem": True} if small else {}


def teacher_args(options: argparse.Namespace) -> dict[str, object]:
    """Return the part of `method_args` that is about the teacher."""
    if options.data_set == "cifar":
        return {"teacher": cifar_teacher(options.weights)}
    return {
        "teacher": _LITE0,
        "teacher_weights": str(options.weights),
        "teacher_normalize": _LITE0_NORMALIZE,
    }


def load_teacher(options: argparse.Namespace) -> tuple[ModelWrapper, NormalizeArgs]:
    """Return the teacher itself, and how its images are normalised."""
    if options.data_set == "cifar":
        teacher = cifar_teacher(options.weights)
        assert isinstance(teacher, InputNormalization)
        mean, std = teacher.input_normalization()
        return teacher, NormalizeArgs(mean=mean, std=std)
    arguments = {"weights": str(options.weights)}
    mean, std = (tuple(values) for values in _LITE0_NORMALIZE.values())
    wrapper = lightly_core.get_wrapped_model(_LITE0, model_args=arguments)
    return wrapper, NormalizeArgs(mean=mean, std=std)


def merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with changes; dictionaries are merged, all else is replaced."""
    result = dict(settings)
    for key, value in changes.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = merged(old, value) if both else value  # type: ignore[arg-type]
    return result


def make_row(name: str, options: argparse.Namespace) -> Entry:
    """Train what the row asks for, measure it, and return what the table shows."""
    row = ROWS[name]
    entry = Entry(
        row=name,
        data_set=options.data_set,
        student=options.student,
        images=str(num_images(options)),
        method=row.method,
        loss=row.loss,
        made_by=shlex.join(["python", *options.command, "--only", name]),
    )
    if name == "teacher":
        teacher, normalize = load_teacher(options)
        return _measured(entry, teacher, normalize, options)
    out = Path(options.out) / name
    epochs = _epochs(row, options)
    settings = run_settings(row, options, out, epochs)
    watch = Stopwatch()
    started = merged(settings, {"trainer_args": {"callbacks": [watch]}})
    result = lightly_core.pretrain(**started)
    first, last = first_and_last_loss(result.folder / "metrics.jsonl")
    code = f"cifar_teacher({str(options.weights)!r})"
    in_python = row.has_teacher and options.data_set == "cifar"
    entry = entry.with_training(
        epochs=int(settings["epochs"]),
        steps=watch.num_steps,
        seconds=watch.seconds,
        images_per_second=watch.num_steps * settings["batch_size"] / max(watch.seconds, 1e-9),
        first_loss=first,
        last_loss=last,
        run=as_python(settings, code) if in_python else as_command(settings),
    )
    student = lightly_core.get_wrapped_model(
        settings["model"], model_args=settings.get("model_args")
    )
    load_weights(student, result.exported[0], strict=True)
    return _measured(entry, student, NormalizeArgs(), options)


def num_images(options: argparse.Namespace) -> int:
    """Return the number of images to train on."""
    return sum(1 for path in Path(options.images).glob("*/*") if path.is_file())


def _epochs(row: Row, options: argparse.Namespace) -> int:
    if not row.method:
        return 0
    if options.minutes is None:
        return int(options.epochs)
    with tempfile.TemporaryDirectory() as folder:
        settings = run_settings(row, options, Path(folder) / "timing", epochs=1)
        found = seconds_per_step(settings)
    epochs = epochs_for(options.minutes, found, num_images(options) // settings["batch_size"])
    print(f"{row.method}: {found:.3f} seconds a step, {epochs} epochs", flush=True)
    return epochs


def _measured(
    entry: Entry, wrapper: ModelWrapper, normalize: NormalizeArgs, options: argparse.Namespace
) -> Entry:
    size = _IMAGE_SIZES[options.data_set]
    transform = EvalTransform(size, normalize, num_channels=3, interpolation="bicubic")
    found = accuracy(
        wrapper, options.images, options.test, transform, num_workers=options.num_workers
    )
    return entry.with_accuracy(found.knn, found.linear)


def parse_options(words: list[str]) -> argparse.Namespace:
    """Read the command line, and make the smaller data sets that it asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data-set", choices=sorted(_IMAGE_SIZES), required=True)
    parser.add_argument("--train", type=Path, required=True, help="images, a folder for each class")
    parser.add_argument("--test", type=Path, required=True, help="others, to be classified")
    parser.add_argument("--weights", type=Path, required=True, help="file of the teacher")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images-per-class", type=int, help="of --train; all unless given")
    parser.add_argument("--test-images-per-class", type=int, help="of --test; all unless given")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--epochs", type=int)
    length.add_argument("--minutes", type=float, help="of training, for every method")
    parser.add_argument("--student", default="torchvision/resnet18")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--num-workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--optim", choices=("adamw", "default"), default="adamw", help="default: each method's own"
    )
    parser.add_argument("--lr", type=float, default=1e-3, help="of adamw, for all methods")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="further settings of training"
    )
    parser.add_argument("--only", nargs="+", choices=list(ROWS), default=list(ROWS))
    options = parser.parse_args(words)
    options.command = _without_only(["examples/distillation_benchmark.py", *words])
    options.images = _part(options.train, options.images_per_class, options.out / "images")
    options.test = _part(options.test, options.test_images_per_class, options.out / "test-images")
    return options


def _without_only(words: list[str]) -> list[str]:
    """Take ``--only`` and the rows behind it out of a command."""
    kept, skipping = [], False
    for word in words:
        skipping = word.startswith("--only") or (skipping and word in ROWS)
        if not skipping:
            kept.append(word)
    return kept


def _part(folder: Path, per_class: int | None, target: Path) -> Path:
    """Return a folder with the first images of each class, made if it is not there yet."""
    if per_class is None:
        return folder
    part = target.with_name(f"{target.name}-{per_class}")
    if not part.exists():
        make_subset(folder, part, per_class)
    return part


def main(words: list[str]) -> None:
    """Make the rows one after the other; each is written as soon as it is there."""
    options = parse_options(words)
    table = ""
    for name in options.only:
        table = write_entry(make_row(name, options), options.out)
    print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
