"""Runs whose reports are opened: a good one, a collapsed one, and one with hostile names."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from PIL import Image
from torch import nn

import lightly_core
from lightly_core.data.sources import open_source

#: Names that would be markup, code or a break of the layout if they were not escaped.
HOSTILE_NAMES = (
    "<script>window.hacked=1<&script>",
    "<img src=x onerror=window.hacked=2>",
    '"><svg onload=window.hacked=3>',
    "'; window.hacked=4; '",
    "{{ 7 * 7 }}",
    "بيت 家 🙂 \u202egnp",
    "long" * 55,
)
_NUM_IMAGES = 480


def write_digits(folder: Path) -> Path:
    """Write some of the scanned digits into class folders; return the folder."""
    source = open_source("builtin:digits")
    labels = source.labels()
    assert labels is not None
    for index in range(_NUM_IMAGES):
        target = folder / f"digit {labels.classes[labels.targets[index]]}"
        target.mkdir(parents=True, exist_ok=True)
        image = source.load(index)
        assert isinstance(image, Image.Image)
        image.convert("RGB").resize((32, 32)).save(target / f"{index:04}.png")
    return folder


def write_hostile(folder: Path, digits: Path) -> Path:
    """Write images in class folders with hostile names, and one that cannot be read."""
    files = sorted(digits.rglob("*.png"))
    for number, name in enumerate(HOSTILE_NAMES):
        target = folder / name[:200]
        target.mkdir(parents=True)
        for file in files[number :: 2 * len(HOSTILE_NAMES)]:
            shutil.copy(file, target / f"{file.stem}{name[:200]}.png")
    (folder / HOSTILE_NAMES[0] / "broken<b>.png").write_bytes(b"\x89PNG broken")
    return folder


def network(*, norm: bool = True) -> nn.Module:
    """Return three convolutions with fixed random weights."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for channels, width in ((3, 16), (16, 32), (32, 64)):
        between = nn.BatchNorm2d(width) if norm else nn.Identity()
        layers += [nn.Conv2d(channels, width, 3, 2, 1), between, nn.ReLU()]
    return lightly_core.wrap(nn.Sequential(*layers), features="8")


def train(out: Path, data: Path, **changes: object) -> Path:
    """Pretrain for a few seconds, if it was not done before; return the run folder."""
    if (out / "report.html").exists():
        return out
    settings: dict[str, object] = {
        "model": network(),
        "method": "simclr",
        "epochs": 4,
        "batch_size": 48,
        "num_workers": 0,
        "accelerator": "cpu",
        "precision": "32-true",
        "optim": "adamw",
        "transform_args": {"image_size": 32, "random_resize": {"min_scale": 0.5}},
        "callbacks": {"report": {"num_images": 120}, "signals": {"every_n_epochs": 1}},
        "loggers": {"tensorboard": None},
        "trainer_args": {"log_every_n_steps": 2},
    }
    lightly_core.pretrain(out=out, data=data, **{**settings, **changes})  # type: ignore[arg-type]
    return out


def make_runs(folder: Path) -> dict[str, Path]:
    """Train all runs; return their folders by name."""
    digits = write_digits(folder / "digits")
    runs = {"good": train(folder / "good", digits, optim_args={"lr": 2e-3})}
    # Without the terms that keep features apart, all images get the same feature.
    collapsing = {"variance_weight": 0.0, "covariance_weight": 0.0, "hidden_dim": 64}
    runs["collapsed"] = train(
        folder / "collapsed",
        digits,
        model=network(norm=False),
        method="vicreg",
        method_args={**collapsing, "output_dim": 32},
        optim_args={"lr": 2e-2},
        epochs=8,
    )
    shutil.rmtree(folder / "hostile images", ignore_errors=True)
    hostile = write_hostile(folder / "hostile images", digits)
    runs["hostile"] = train(folder / "<b>run</b> & 'x'", hostile, epochs=1, batch_size=16)
    return runs
