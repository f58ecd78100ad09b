"""Test lightly-core and its plugins as installed wheels: ``python tools/try_wheels.py``.

`nox -s wheels` runs it in an empty folder, in an environment with the wheels. An editable install
has files that a wheel may lack, and finds packages that no requirement names. The program checks
that

1. every package is in site-packages and has all files of its source, with the same content;
2. all plugins load;
3. ``examples/quickstart.toml`` runs;
4. a network of each model library trains, with methods, loggers and sources of all plugins, and
   a suite runs by each launcher;
5. the exported files load, and the code that the run prints loads the model.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
QUICKSTART = ROOT / "examples/quickstart.toml"
TRANSFORMER = {"embed_dim": 48, "depth": 2, "num_heads": 2}
#: Loggers without a server: records for MLflow stay in a file, as nothing listens there.
LOGGERS = {
    "mlflow": {"tracking_uri": "http://127.0.0.1:9", "finish_timeout": 0},
    "wandb": {"mode": "offline"},
}
#: Names of sources by the scheme of `data`. `make_sources` writes what they read.
SOURCES = {"wds": "webdataset", "hf": "huggingface"}
#: Options by launcher, with which they need no cluster.
LAUNCHERS: dict[str, list[str]] = {"ray": [], "slurm": ["cluster=local", "cpus=1"]}
# Settings by model library. Each plugin is used by at least one of them.
RUNS: dict[str, dict[str, Any]] = {
    "dinov2": {
        "model": "dinov2/vits14-notpretrained",
        "model_args": {**TRANSFORMER, "img_size": 28},
        "method": "mae",
        "transform_args": {"image_size": 28},
    },
    "dinov3": {
        "model": "dinov3/vitt16-notpretrained",
        "model_args": TRANSFORMER,
        "method": "distillation",
        "method_args": {"teacher": "torchvision/resnet18"},
        "transform_args": {"image_size": 64},
    },
    "timm": {"model": "timm/resnet10t", "method": "dino", "data": "wds:images.tar"},
    "torchvision": {
        "model": "torchvision/resnet18",
        "method": "byol",
        "data": "hf:saved",
        "loggers": LOGGERS,
    },
    "ultralytics": {"model": "ultralytics/yolo11n.yaml", "method": "simclr"},
}


def packages() -> list[Path]:
    """Return the source folder of each package."""
    return [
        ROOT / "lightly_core",
        *(file.parent for file in ROOT.glob("plugins/*/src/*/__init__.py")),
    ]


def package_problems(source: Path, site_packages: Path) -> Iterator[str]:
    """Yield the differences between an installed package and its source.

    Args:
        source: Folder of the package in the repository.
        site_packages: Folder in which it must be installed.
    """
    spec = importlib.util.find_spec(source.name)
    if spec is None or spec.origin is None:
        yield f"{source.name} is not installed"
        return
    installed = Path(spec.origin).parent
    if installed != site_packages / source.name:
        yield f"{source.name} is imported from {installed}, expected {site_packages}"
    for file in sorted(source.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            path = file.relative_to(source)
            if not (installed / path).is_file():
                yield f"{source.name} is installed without {path}"
            elif (installed / path).read_bytes() != file.read_bytes():
                yield f"{source.name} is installed with a different {path}"


def plugin_problems(command: str, count: int) -> Iterator[str]:
    """Print the plugins and yield those that do not load.

    Args:
        command: Path of the program ``lightly``.
        count: Expected number of plugins.
    """
    subprocess.run([command, "plugins"], check=True)
    done = subprocess.run([command, "plugins", "--json"], check=True, stdout=subprocess.PIPE)
    statuses = json.loads(done.stdout)
    if len(statuses) != count:
        yield f"{len(statuses)} plugins are installed, expected {count}"
    used = {f"models {library}" for library in RUNS}
    used |= {f"method {settings['method']}" for settings in RUNS.values()}
    used |= {f"logger {name}" for settings in RUNS.values() for name in settings.get("loggers", ())}
    schemes = {settings.get("data", "").partition(":")[0] for settings in RUNS.values()}
    used |= {f"source {name}" for scheme, name in SOURCES.items() if scheme in schemes}
    used |= {f"launcher {name}" for name in LAUNCHERS}
    for status in statuses:
        if status["state"] != "loaded":
            yield f"plugin {status['name']} is {status['state']}: {status['error']}"
        elif used.isdisjoint(status["provides"]):
            yield f"plugin {status['name']} is not used by any run of {Path(__file__).name}"


def make_images(folder: Path, count: int = 8) -> Path:
    """Write `count` images of noise with 64 x 64 pixels, and return the folder."""
    import numpy as np
    from PIL import Image

    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{index}.png")
    return folder


def make_sources(images: Path) -> None:
    """Write the images again as ``images.tar``, and as the data set ``saved`` of Hugging Face."""
    import datasets

    files = sorted(images.iterdir())
    with tarfile.open(images.with_suffix(".tar"), "w") as tar:
        for file in files:
            tar.add(file, arcname=file.name)
    features = datasets.Features(image=datasets.Image())
    made = datasets.Dataset.from_dict({"image": [str(file) for file in files]}, features=features)
    made.save_to_disk(images.with_name("saved"))


def run_problems(library: str, settings: dict[str, Any], images: Path) -> Iterator[str]:
    """Train two steps and yield the exported files that do not load."""
    import torch

    import lightly_core
    from lightly_core.exporting.reading import read_weights

    common: dict[str, Any] = {"epochs": 1, "batch_size": 4, "num_workers": 0, "accelerator": "cpu"}
    common |= {"data": str(images), "transform_args": {"image_size": 32}}
    result = lightly_core.pretrain(out=f"runs/{library}", **{**common, **settings})
    weights = {}
    for file in result.exported:
        # Files of Ultralytics hold a whole module.
        weights[file] = read_weights(file, pickled_modules=("ultralytics",))
        if not weights[file]:
            yield f"{library}: {file} is empty"
    if {file.suffix for file in weights} != {".pt", ".safetensors"}:
        yield f"{library}: expected a .pt and a .safetensors file, got {[*map(str, weights)]}"
    scope: dict[str, Any] = {}
    exec(compile(result.snippet, f"<snippet of {library}>", "exec"), scope)
    if not isinstance(scope.get("model"), torch.nn.Module):
        yield f"{library}: the code that loads {result.exported[0]} does not define a model"


def launcher_problems(command: str, name: str, images: Path) -> Iterator[str]:
    """Run a suite of one row by a launcher, and yield how it failed."""
    suite = Path("suite.toml")
    settings = "batch_size=4\nnum_workers=0\naccelerator='cpu'\ntransform_args.image_size=32"
    row = "[[rows]]\nmethod='simclr'\nepochs=1\nmodel='torchvision/resnet18'"
    head = f"name='wheels'\nevaluate=false\ndata.train='{images}'"
    suite.write_text(f"{head}\n[run]\n{settings}\n{row}\n")
    options = [f"launcher_args.{pair}" for pair in LAUNCHERS[name]]
    words = [f"out={name}", f"launcher={name}", *options]
    code = subprocess.run([command, "benchmark", str(suite), *words]).returncode
    if code:
        yield f"a suite with launcher={name} ended with code {code}"


def problems(folder: Path) -> Iterator[str]:
    """Run all checks and yield the problems.

    Args:
        folder: Folder for all files that are written.
    """
    site_packages = Path(sysconfig.get_path("purelib")).resolve()
    sources = packages()
    for source in sources:
        yield from package_problems(source, site_packages)
    command = shutil.which("lightly", path=os.path.dirname(sys.executable))
    if command is None:
        yield "the program lightly is not installed"
        return
    yield from plugin_problems(command, len(sources) - 1)
    started = time.monotonic()
    pairs = (f"out={folder / 'quickstart'}", "epochs=1", "accelerator=cpu")
    subprocess.run([command, "run", "--config", str(QUICKSTART), *pairs], check=True)
    print(f"quickstart: {time.monotonic() - started:.0f} s")
    images = make_images(folder / "images")
    make_sources(images)
    for library, settings in RUNS.items():
        started = time.monotonic()
        yield from run_problems(library, settings, images)
        print(f"{settings['model']} with {settings['method']}: {time.monotonic() - started:.0f} s")
    for name in LAUNCHERS:
        yield from launcher_problems(command, name, images)


def main() -> int:
    """Print the problems, and return 1 if there are any."""
    count = 0
    for problem in problems(Path.cwd()):
        print(f"error: {problem}", file=sys.stderr, flush=True)
        count += 1
    return 1 if count else 0


if __name__ == "__main__":
    raise SystemExit(main())
