"""Measure what a step of each method costs: `python examples/method_costs.py`.

Every installed method takes a few steps with its default heads and views on scanned digits, brought
to 96 pixels, on one core; those that need patch tokens on a small vision transformer, the others
on a ResNet-18. Time is that of the processor, so other work on the machine matters little. Each is
a process of its own, since a peak of memory cannot be taken back. Rows go
to docs/method-costs.csv, from which `python -m lightly_core.config.docs` makes docs/methods.md;
methods that are named on the command line are measured anew, others that the file has are kept.
"""

from __future__ import annotations

import argparse
import csv
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from benchmark_timing import seconds_per_step

from lightly_core.config.method import MethodConfig
from lightly_core.config.method_table import REFERENCE
from lightly_core.config.transform import MultiCropTransformArgs
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_config

_FILE = Path(__file__).parents[1] / "docs" / "method-costs.csv"
_COLUMNS = ("method", "backbone", "seconds", "mib")
_RESNET = "torchvision/resnet18"
_VIT = "timm/vit_tiny_patch16_224"
_VIT_ARGS = {"img_size": 96, "dynamic_img_size": True}
_MIB = 2**20
_NUM_STEPS = 5
_SIZE = 96
# Whitens 32 images, which takes a width well below that.
_METHOD_ARGS: dict[str, dict[str, object]] = {"wmse": {"output_dim": 16}}


def main(words: list[str]) -> None:
    """Measure methods, or be the process that measures one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("methods", nargs="*", help="all that are installed, unless named")
    parser.add_argument("--file", type=Path, default=_FILE)
    parser.add_argument("--one", choices=("resnet", "vit"), help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.one:
        measure(options.methods[0], options.one)
        return
    rows = _read(options.file)
    for name, kind in _wanted(options.methods):
        rows[name, _VIT if kind == "vit" else _RESNET] = _measured(name, kind)
        _write(rows, options.file)


def measure(name: str, kind: str) -> None:
    """Print seconds of a step and the growth of this process's memory in MiB."""
    torch.set_num_threads(1)
    model = {"model": _VIT, "model_args": _VIT_ARGS} if kind == "vit" else {"model": _RESNET}
    method_args = dict(_METHOD_ARGS.get(name, {}))
    if name.startswith("distillation"):
        method_args["teacher"] = model["model"]
        if kind == "vit":
            method_args["teacher_args"] = _VIT_ARGS
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            **model,
            "out": folder,
            "overwrite": True,
            "data": "builtin:digits",
            "method": name,
            "method_args": method_args,
            "batch_size": 32,
            "num_workers": 0,
            "precision": "32-true",
            "transform_args": _sizes(name),
            "callbacks": {"knn": None, "signals": None},
            "loggers": {"tensorboard": None},
        }
        before = _peak()
        seconds = seconds_per_step(settings, _NUM_STEPS, time.process_time)
    print(f"measured {seconds} {_peak() - before}")


def _sizes(name: str) -> dict[str, object]:
    """Return sizes of the views that fit small networks, where the method has small views."""
    declared = _config(name).default_transform()
    if isinstance(declared, MultiCropTransformArgs) and declared.local_view is not None:
        return {"image_size": _SIZE, "local_view": {"view_size": _SIZE // 2}}
    # Where all views of an image are small, they stay as they are.
    return {"image_size": min(_SIZE, *declared.size)}


def _config(name: str) -> type[MethodConfig]:
    config = load_config(get_plugins().catalog.get("method", name))
    assert issubclass(config, MethodConfig)
    return config


def _wanted(names: list[str]) -> list[tuple[str, str]]:
    records = get_plugins().catalog.records("method")
    names = names or [record.name for record in records if record.alias_of is None]
    # The reference is needed on both networks.
    pairs = [(name, "vit" if _needs_tokens(name) else "resnet") for name in names]
    return pairs + [(REFERENCE, "vit")] * (REFERENCE in names)


def _needs_tokens(name: str) -> bool:
    card = _config(name).card
    return card is not None and "patch tokens" in card.needs


def _measured(name: str, kind: str) -> tuple[float, float]:
    command = [sys.executable, __file__, name, "--one", kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [line.split() for line in done.stdout.splitlines() if line.startswith("measured ")]
    if done.returncode or not found:
        raise SystemExit(f"{name}: {done.stdout}{done.stderr}")
    seconds, mib = map(float, found[0][1:])
    print(f"{name} on {kind}: {seconds:.3f} s a step, {mib:.0f} MiB", flush=True)
    return seconds, mib


def _read(file: Path) -> dict[tuple[str, str], tuple[float, float]]:
    if not file.exists():
        return {}
    with file.open(newline="", encoding="utf-8") as lines:
        return {
            (row["method"], row["backbone"]): (float(row["seconds"]), float(row["mib"]))
            for row in csv.DictReader(lines)
        }


def _write(rows: dict[tuple[str, str], tuple[float, float]], file: Path) -> None:
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for (name, backbone), (seconds, mib) in sorted(rows.items()):
            writer.writerow((name, backbone, f"{seconds:.4f}", f"{mib:.0f}"))


def _peak() -> float:
    # In KiB on Linux, in bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MIB


if __name__ == "__main__":
    main(sys.argv[1:])
