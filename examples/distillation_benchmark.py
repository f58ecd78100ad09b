"""Compare distillation methods, SimCLR, a random student and the teacher on real images.

    python examples/distillation_benchmark.py --data-set cifar --train cifar10/train \
        --test cifar10/test --images-per-class 500 --minutes 10 --out out/cifar \
        --weights cifar10-resnet56-4bfd9763.th
    python examples/distillation_benchmark.py --data-set imagenette --train imagenette160/train \
        --test imagenette160/val --images-per-class 200 --minutes 10 --out out/imagenette \
        --student timm/resnet10t --weights lite0.pth

`--weights` is the teacher's file: a ResNet for CIFAR (see `cifar_teacher.py`), or for Imagenette an
EfficientNet-Lite0 in timm's layout (`efficientnet_lite0_to_timm.py` writes it). Students start from
random weights and are trained without labels. With `--minutes` every method gets the same training
time: a step, including the teacher, is timed on this machine first, and the number of epochs is
chosen to fit best. `seconds` in the table is the measured training time. Accuracies are those of
the frozen features on the test images, see `frozen_features.py`. The losses are means of the first
and the last logged interval, which is an epoch if that has at most 50 steps. Each row is appended
to OUT/rows.csv, and OUT/table.md shows all of them.
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
from lightly_core.exporting.weights import load_weights

#: (x - 127) / 128 for x in 0..255, as in the training of EfficientNet-Lite0.
_LITE0_NORMALIZE = {"mean": [127 / 255] * 3, "std": [128 / 255] * 3}
_LITE0 = "timm/tf_efficientnet_lite0"


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        method: Name of the method; empty if nothing is trained.
        loss: Description of the loss, which distinguishes the rows of a method.
        method_args: Options of the method other than the teacher.
    """

    method: str
    loss: str = ""
    method_args: Mapping[str, object] = field(default_factory=dict)

    @property
    def has_teacher(self) -> bool:
        """Whether the method takes a teacher."""
        return self.method.startswith("distillation")


def _second_version(loss: str) -> Row:
    # One block, because wrappers of convolutional teachers return one map.
    return Row("distillationv2", loss, {"loss": loss, "n_teacher_blocks": 1})


ROWS = {
    "random": Row(""),
    # For batches of 128 and less than an hour. SimCLR's default of 0.1 is for much longer training.
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
        row: The row. Without a method, an untrained student is exported after 0 epochs.
        options: Options of the command line, and ``images``, the folder to train on.
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
        # As in the paper for images of 32 pixels, appendix B.9.
        transform.update(gaussian_blur=None, color_jitter={"strength": 0.5})
    if row.has_teacher:
        settings["method_args"].update(teacher_args(options))
    settings = merged(settings, parse_pairs(options.set))
    return settings if row.method else {**settings, "epochs": 0}


def student_args(options: argparse.Namespace) -> dict[str, object]:
    """Return `model_args`. torchvision's ResNets need another stem for small images."""
    small = options.data_set == "cifar" and options.student.startswith("torchvision/resnet")
    return {"small_stem": True} if small else {}


def teacher_args(options: argparse.Namespace) -> dict[str, object]:
    """Return the entries of `method_args` that define the teacher."""
    if options.data_set == "cifar":
        return {"teacher": cifar_teacher(options.weights)}
    return {
        "teacher": _LITE0,
        "teacher_weights": str(options.weights),
        "teacher_normalize": _LITE0_NORMALIZE,
    }


def load_teacher(options: argparse.Namespace) -> tuple[ModelWrapper, NormalizeArgs]:
    """Return the teacher, and the mean and std of its input."""
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
    """Return settings with changes. Dictionaries are merged, other values are replaced."""
    result = dict(settings)
    for key, value in changes.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = merged(old, value) if both else value  # type: ignore[arg-type]
    return result


def make_row(name: str, options: argparse.Namespace) -> Entry:
    """Train a row's student, measure its accuracy, and return the entry of the table."""
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
    """Read the command line, and create the subsets that it requests."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data-set", choices=sorted(_IMAGE_SIZES), required=True)
    parser.add_argument(
        "--train", type=Path, required=True, help="training images, a folder for each class"
    )
    parser.add_argument(
        "--test", type=Path, required=True, help="test images, a folder for each class"
    )
    parser.add_argument("--weights", type=Path, required=True, help="the teacher's weights")
    parser.add_argument("--out", type=Path, required=True, help="folder for runs and tables")
    parser.add_argument(
        "--images-per-class", type=int, help="use the first of each class in --train; default: all"
    )
    parser.add_argument(
        "--test-images-per-class", type=int, help="the same for --test; default: all"
    )
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--epochs", type=int)
    length.add_argument("--minutes", type=float, help="training time of every method")
    parser.add_argument("--student", default="torchvision/resnet18")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--num-workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--optim",
        choices=("adamw", "default"),
        default="adamw",
        help="optimizer; default: each method's own",
    )
    parser.add_argument(
        "--lr", type=float, default=1e-3, help="learning rate of adamw, for all methods"
    )
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="further settings of the runs"
    )
    parser.add_argument("--only", nargs="+", choices=list(ROWS), default=list(ROWS))
    options = parser.parse_args(words)
    options.command = _without_only(["examples/distillation_benchmark.py", *words])
    options.images = _part(options.train, options.images_per_class, options.out / "images")
    options.test = _part(options.test, options.test_images_per_class, options.out / "test-images")
    return options


def _without_only(words: list[str]) -> list[str]:
    """Remove ``--only`` and the rows after it from a command."""
    kept, skipping = [], False
    for word in words:
        skipping = word.startswith("--only") or (skipping and word in ROWS)
        if not skipping:
            kept.append(word)
    return kept


def _part(folder: Path, per_class: int | None, target: Path) -> Path:
    """Return a folder with the first images of each class; create it if it does not exist."""
    if per_class is None:
        return folder
    part = target.with_name(f"{target.name}-{per_class}")
    if not part.exists():
        make_subset(folder, part, per_class)
    return part


def main(words: list[str]) -> None:
    """Compute the rows one after the other. Each is written as soon as it is finished."""
    options = parse_options(words)
    table = ""
    for name in options.only:
        table = write_entry(make_row(name, options), options.out)
    print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
