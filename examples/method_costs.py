"""Measure the cost of a step of each method: `python examples/method_costs.py`.

Every installed method runs a few steps with its default heads and views on synthetic images.
Methods that need patch tokens use a small vision transformer, the others a ResNet-18. Rows are
written to method-costs.csv in lightly_core/config/docs, from which
`python -m lightly_core.config.docs` generates docs/methods.md. If methods are named on the command
line, only these are measured, and the other rows of the file are kept.

With `--device cpu`: one core, 32 images of 96 pixels, single precision. CPU time is measured, so
other work on the machine has little effect. Each method runs in its own process, since the peak
memory of a process never decreases. With `--device cuda`: 256 images of 128 pixels, bfloat16,
wall-clock time.
"""

from __future__ import annotations

import argparse
import csv
import functools
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch
from benchmark_timing import seconds_per_step
from loading_speed import write_images

from lightly_core.config.docs.method_table import COSTS, REFERENCE, read_costs
from lightly_core.config.options.method import MethodConfig
from lightly_core.config.options.transform import MultiCropTransformArgs
from lightly_core.errors import LightlyError
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_config

_COLUMNS = ("method", "backbone", "device", "seconds", "mib")
_RESNET = "torchvision/resnet18"
_VIT = "timm/vit_tiny_patch16_224"
_MIB = 2**20


class Scale(NamedTuple):
    """Sizes of a measurement on one device.

    Attributes:
        batch_size: Images per step.
        image_size: Side of the global views in pixels. Local views have half of it.
        num_images: Synthetic images.
        num_steps: Steps that are timed.
        precision: Number format.
    """

    batch_size: int
    image_size: int
    num_images: int
    num_steps: int
    precision: str


_SCALES = {
    "cpu": Scale(32, 96, 2048, 5, "32-true"),
    "cuda": Scale(256, 128, 4096, 12, "bf16-mixed"),
}


def main(words: list[str]) -> None:
    """Measure methods, each in a child process on the CPU, or one method in this process."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("methods", nargs="*", help="methods to measure; default: all installed")
    parser.add_argument("--device", choices=tuple(_SCALES), default="cpu")
    parser.add_argument("--file", type=Path, default=COSTS)
    parser.add_argument("--one", choices=("resnet", "vit"), help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.one:
        print("measured", *measure(options.methods[0], options.one, "cpu"))
        return
    rows = _read(options.file)
    for name, kind in _wanted(options.methods):
        run = _in_a_process if options.device == "cpu" else _in_this_process
        found = run(name, kind)
        if found is not None:
            seconds, mib = found
            print(f"{name} on {kind}: {seconds:.3f} s a step, {mib:.0f} MiB", flush=True)
            rows[name, _VIT if kind == "vit" else _RESNET, options.device] = found
            _write(rows, options.file)


def measure(name: str, kind: str, device: str) -> tuple[float, float]:
    """Return the seconds of a step, and the memory that it adds in MiB.

    Args:
        name: The method.
        kind: "vit" or "resnet".
        device: "cpu" measures the memory of the process, "cuda" that of tensors on the device.
    """
    scale = _SCALES[device]
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            **_networks(name, kind, scale),
            "out": folder,
            "overwrite": True,
            "data": _image_folder(scale.num_images).name,
            "method": name,
            "batch_size": scale.batch_size,
            "num_workers": 0,
            "in_memory": True,
            "accelerator": device,
            "precision": scale.precision,
            "transform_args": _sizes(name, scale.image_size),
            "callbacks": {"knn": None, "signals": None, "report": None},
            "loggers": {"tensorboard": None},
        }
        if device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            seconds = seconds_per_step(settings, scale.num_steps)
            return seconds, torch.cuda.max_memory_allocated() / _MIB
        torch.set_num_threads(1)
        before = _peak()
        seconds = seconds_per_step(settings, scale.num_steps, time.process_time)
        return seconds, _peak() - before


@functools.cache
def _image_folder(number: int) -> tempfile.TemporaryDirectory[str]:
    """Return a folder of synthetic images, which is removed when this process ends."""
    folder = tempfile.TemporaryDirectory()
    write_images(Path(folder.name), number, "png")
    return folder


def _networks(name: str, kind: str, scale: Scale) -> dict[str, object]:
    """Return the settings of the network, and of a teacher of the same kind if there is one."""
    vit_args = {"img_size": scale.image_size, "dynamic_img_size": True} if kind == "vit" else None
    model = _VIT if kind == "vit" else _RESNET
    method_args: dict[str, object] = {}
    if name == "wmse" and scale.batch_size < 128:
        # Whitening needs more samples than dimensions.
        method_args["output_dim"] = scale.batch_size // 2
    if name.startswith("distillation"):
        method_args |= {"teacher": model, "teacher_args": vit_args}
    return {"model": model, "model_args": vit_args, "method_args": method_args}


def _sizes(name: str, image_size: int) -> dict[str, object]:
    """Return sizes of the views for small networks; local views have half the size."""
    declared = _config(name).default_transform()
    if isinstance(declared, MultiCropTransformArgs) and declared.local_view is not None:
        return {"image_size": image_size, "local_view": {"view_size": image_size // 2}}
    # Methods whose default views are smaller keep them.
    return {"image_size": min(image_size, *declared.size)}


def _config(name: str) -> type[MethodConfig]:
    config = load_config(get_plugins().catalog.get("method", name))
    assert issubclass(config, MethodConfig)
    return config


def _wanted(names: list[str]) -> list[tuple[str, str]]:
    records = get_plugins().catalog.records("method")
    names = names or [record.name for record in records if record.alias_of is None]
    # The reference is measured on both networks.
    pairs = [(name, "vit" if _needs_tokens(name) else "resnet") for name in names]
    return pairs + [(REFERENCE, "vit")] * (REFERENCE in names)


def _needs_tokens(name: str) -> bool:
    card = _config(name).card
    return card is not None and "patch tokens" in card.needs


def _in_a_process(name: str, kind: str) -> tuple[float, float]:
    command = [sys.executable, __file__, name, "--one", kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [line.split() for line in done.stdout.splitlines() if line.startswith("measured ")]
    if done.returncode or not found:
        raise SystemExit(f"{name}: {done.stdout}{done.stderr}")
    seconds, mib = map(float, found[0][1:])
    return seconds, mib


def _in_this_process(name: str, kind: str) -> tuple[float, float] | None:
    try:
        return measure(name, kind, "cuda")
    except LightlyError as error:  # such as out of memory: continue with the other methods
        print(f"{name}: {error}", flush=True)
        return None


def _read(file: Path) -> dict[tuple[str, str, str], tuple[float, float]]:
    return {key: (cost.seconds, cost.mib) for key, cost in read_costs(file).items()}


def _write(rows: dict[tuple[str, str, str], tuple[float, float]], file: Path) -> None:
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for key, (seconds, mib) in sorted(rows.items()):
            writer.writerow((*key, f"{seconds:.4f}", f"{mib:.0f}"))


def _peak() -> float:
    # In KiB on Linux, in bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MIB


if __name__ == "__main__":
    main(sys.argv[1:])
