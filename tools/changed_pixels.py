"""Measures whether pixels that are computed faster change what is learned.

    python -m tools.changed_pixels FOLDER --imagenette imagenette160 --cifar cifar10

Each experiment trains SimCLR with the fast computation of the views and with a plain one, from the
same seeds, and so with the same weights, order, crops and random numbers. The frozen features
classify held-out images by their 20 nearest neighbours. Training and held-out images are read in
the same way for both. FOLDER keeps the images, and a line for each result in ``results.jsonl``. A
second call measures what is missing, and prints the table of all.
"""

import argparse
import functools
import json
import math
import shutil
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from attrs import define, evolve, field
from PIL import Image

import lightly_core
from lightly_core.data.formats import jpeg
from lightly_core.data.views import opencv

Plain = Callable[[], AbstractContextManager[None]]


@define(frozen=True)
class Part:
    """Some images of a data set.

    Attributes:
        root: Folder of class folders.
        per_class: Images of each class, the first by name.
        side: Sides in pixels of the square JPEGs that are written of them; None: the files as they
            are.
    """

    root: Path
    per_class: int
    side: int | None = None


@define(frozen=True)
class Experiment:
    """Two computations of the same views.

    Attributes:
        name: Name in the table.
        plain: Context in which the plain computation is used.
        train: Images to train with, also the labelled ones of the nearest neighbours; None: the
            digits of scikit-learn.
        held_out: Images to classify; None: a fifth of those of `train`.
        settings: Settings of the run that differ from `_COMMON`.
    """

    name: str
    plain: Plain
    train: Part | None
    held_out: Part | None
    settings: dict[str, Any] = field(factory=dict)


_COMMON: dict[str, Any] = {
    "model": "timm/test_resnet",
    "method": "simclr",
    "method_args": {"temperature": 0.2},
    "optim": "adamw",
    "optim_args": {"lr": 2e-3, "lr_scale_method": "none"},
    "batch_size": 64,
    "num_workers": 0,  # the plain computation is set in this process
    "accelerator": "cpu",
    "devices": 1,
    "precision": "32-true",
    "callbacks": {"knn": None, "signals": None, "report": None},
    "loggers": {"tensorboard": None},
}
_VIEWS: dict[str, Any] = {"image_size": 64, "random_resize": {"min_scale": 0.2}}
_SMALL_VIEWS = _VIEWS | {"image_size": 32}  # all photographs are shrunk by 1/4 or 1/8
_DIGITS = {"random_flip": None, "random_resize": {"min_scale": 0.5}}


@contextmanager
def replaced(module: ModuleType, name: str, value: object) -> Iterator[None]:
    """Give an attribute of a module another value for a while.

    Raises:
        AttributeError: The module does not have it.
    """
    old = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, old)


#: Every JPEG is decoded in full, whatever its crops need.
full_decode: Plain = functools.partial(replaced, jpeg, "FACTORS", ())
#: All colour changes and blurs are computed by torch in float32.
torch_colours: Plain = functools.partial(replaced, opencv, "suits", lambda images: False)


def experiments(imagenette: Path | None, cifar: Path | None) -> list[Experiment]:
    """Return the experiments whose images are at hand."""
    found = []
    if imagenette is not None:
        parts = (Part(imagenette / "train", 60), Part(imagenette / "val", 60))
        for side in (640, 1280):
            name = f"JPEG scale, Imagenette at {side} px"
            large = (evolve(part, side=side) for part in parts)
            settings = {
                "epochs": 6,
                "in_memory": False,
                "transform_args": _SMALL_VIEWS,
                "optim_args": {"lr": 1e-3, "lr_scale_method": "none"},
            }
            found.append(Experiment(name, full_decode, *large, settings))
        settings = {"epochs": 6, "transform_args": _VIEWS}
        found.append(Experiment("colours, Imagenette", torch_colours, *parts, settings))
    if cifar is not None:
        parts = (Part(cifar / "train", 100), Part(cifar / "test", 100))
        settings = {"epochs": 6, "transform_args": _VIEWS}
        found.append(Experiment("colours, CIFAR-10", torch_colours, *parts, settings))
    settings = {"epochs": 2, "transform_args": _VIEWS | _DIGITS}
    found.append(Experiment("colours, digits", torch_colours, None, None, settings))
    return found


def first_images(root: Path, per_class: int) -> list[Path]:
    """Return the first images, by name, of each class folder."""
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    return [image for one in folders for image in islice(sorted(one.iterdir()), per_class)]


def write(part: Part, folder: Path) -> str:
    """Copy or enlarge images into class folders, and return the folder with these."""
    name = f"{part.root.parent.name}-{part.root.name}-{part.per_class}"
    target = folder / (name if part.side is None else f"{name}-{part.side}")
    if target.is_dir():
        return str(target)
    for file in first_images(part.root, part.per_class):
        copied = target / file.parent.name / file.name
        copied.parent.mkdir(parents=True, exist_ok=True)
        if part.side is None:
            shutil.copyfile(file, copied)
            continue
        image = Image.open(file).convert("RGB")
        image = image.resize((part.side, part.side), Image.Resampling.BICUBIC)
        image.save(copied.with_suffix(".jpg"), quality=90)
    return str(target)


def accuracy(experiment: Experiment, path: str, seed: int, folder: Path) -> float:
    """Train, and return the kNN accuracy of the features in [0, 1].

    Args:
        experiment: What to train.
        path: ``fast``, ``plain``, or ``untrained`` for random weights.
        seed: Seed of the run.
        folder: Folder for the images, and for the run, which is replaced.
    """
    train, held_out = (
        None if part is None else write(part, folder)
        for part in (experiment.train, experiment.held_out)
    )
    data, out = train or "builtin:digits", str(folder / "run")
    settings = {**_COMMON, **experiment.settings}
    if path == "untrained":
        settings["epochs"] = 0
    with experiment.plain() if path == "plain" else nullcontext():
        lightly_core.pretrain(out=out, data=data, seed=seed, overwrite=True, **settings)
    evaluated = lightly_core.evaluate(
        model=out,
        data=data,
        val_data=held_out,
        knn={"k": 20},
        linear=None,
        accelerator="cpu",
        num_workers=0,
    )
    return evaluated.top1("knn")


def measure(todo: Sequence[Experiment], seeds: int, folder: Path) -> dict[str, dict[str, Any]]:
    """Measure what `folder` does not hold yet.

    Returns:
        For each experiment the accuracies by path and seed: ``{"fast": {0: 0.5}}``.
    """
    file = folder / "results.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    known = {(row["name"], row["path"], row["seed"]): row["top1"] for row in map(json.loads, lines)}
    for experiment in todo:
        pairs = [(path, seed) for seed in range(seeds) for path in ("fast", "plain")]
        for path, seed in [*pairs, ("untrained", 0)]:
            key = (experiment.name, path, seed)
            if key in known:
                continue
            known[key] = accuracy(experiment, path, seed, folder)
            row = dict(zip(("name", "path", "seed", "top1"), (*key, known[key]), strict=True))
            print(row, flush=True)
            with file.open("a", encoding="utf-8") as target:
                target.write(json.dumps(row) + "\n")
    found: dict[str, dict[str, Any]] = {}
    for (name, path, seed), top1 in known.items():
        found.setdefault(name, {}).setdefault(path, {})[seed] = top1
    return found


def table(found: dict[str, dict[str, Any]]) -> str:
    """Return the results as a Markdown table, in percent, with standard errors over the seeds."""
    lines = [
        "| views | untrained | fast | plain | fast less plain, same seeds | within one s.e. |",
        "|---|---|---|---|---|---|",
    ]
    for name, paths in found.items():
        seeds = sorted(paths.get("fast", {}).keys() & paths.get("plain", {}).keys())
        if len(seeds) < 2:
            continue
        fast, plain = ([100 * paths[path][seed] for seed in seeds] for path in ("fast", "plain"))
        differences = [one - other for one, other in zip(fast, plain, strict=True)]
        mean, error = mean_and_error(differences)
        cells = [f"{value:.1f} ± {s:.1f} %" for value, s in map(mean_and_error, (fast, plain))]
        untrained = f"{100 * paths['untrained'][0]:.1f} %" if "untrained" in paths else ""
        within = "yes" if abs(mean) <= error else "no"
        lines.append(
            f"| {name} | {untrained} | {' | '.join(cells)} | {mean:+.1f} ± {error:.1f} | {within} |"
        )
    return "\n".join(lines) + "\n"


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error."""
    return statistics.mean(values), statistics.stdev(values) / math.sqrt(len(values))


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(prog="python -m tools.changed_pixels")
    parser.add_argument("folder", type=Path, help="folder for images and results, kept")
    parser.add_argument("--imagenette", type=Path, help="folder with train/CLASS and val/CLASS")
    parser.add_argument("--cifar", type=Path, help="folder with train/CLASS and test/CLASS")
    parser.add_argument("--only", help="experiments whose names contain this")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each computation, >= 2")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    found = experiments(options.imagenette, options.cifar)
    todo = [one for one in found if not options.only or options.only in one.name]
    print(table(measure(todo, options.seeds, options.folder)))


if __name__ == "__main__":
    main()
