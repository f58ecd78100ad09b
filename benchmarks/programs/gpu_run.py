"""A short run on a CUDA device: milliseconds an image, and percent of the time waited for data.

python gpu_run.py simclr|distillation|in_memory FOLDER
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image

import lightly_core
from benchmarks.programs.training import paper

#: Steps before the clock starts: caches of kernels, and of the loader, are filled in them.
WARMUP, STEPS = 30, 120


class Clock(Callback):
    """Wall time of the steps after the warm-up, with all work of the device finished."""

    def __init__(self) -> None:
        self.start = self.end = 0.0

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: object, batch: object, index: int
    ) -> None:
        """Read the clock at both ends of the measured steps."""
        if trainer.global_step in (WARMUP, WARMUP + STEPS):
            torch.cuda.synchronize()
            self.start, self.end = self.end, time.perf_counter()


def settings(case: str, folder: str, temporary: Path) -> tuple[int, dict[str, Any]]:
    """Return the batch size and the settings of a run."""
    if case == "in_memory":
        model, size, batch, method = "torchvision/resnet18", 32, 1024, "simclr"
        data = write_small_images(temporary / "small", 16 * 1024)
    elif case == "simclr":
        model, size, batch, method = "timm/vit_small_patch16_224", 224, 256, "simclr"
        data = repeat_files(Path(folder), temporary / "photos", 8 * batch)
    else:
        model, size, batch, method = "torchvision/resnet18", 224, 256, "distillation"
        data = repeat_files(Path(folder), temporary / "photos", 8 * batch)
    given: dict[str, Any] = {
        "model": model,
        "method": method,
        "data": str(data),
        "batch_size": batch,
        "transform_args": {"image_size": size},
        "epochs": 1000,
    }
    if method == "distillation":
        import timm

        teacher = timm.create_model("vit_base_patch14_dinov2", pretrained=False, img_size=224)
        given["method_args"] = {"teacher": teacher}
    return batch, given


def repeat_files(photos: Path, folder: Path, number: int) -> Path:
    """Fill a folder with links to photographs."""
    folder.mkdir()
    files = sorted(photos.iterdir())
    for index in range(number):
        os.link(files[index % len(files)], folder / f"{index:06}.jpg")
    return folder


def write_small_images(folder: Path, number: int) -> Path:
    """Write random images of 32 px, which are kept in memory."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(number):
        pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:06}.png", compress_level=1)
    return folder


def data_wait(out: Path) -> float:
    """Return the percentage of the time that the last logged steps waited for data."""
    rows: list[Mapping[str, Any]] = [
        json.loads(text) for text in (out / "metrics.jsonl").read_text().splitlines()
    ]
    return 100 * float([row["data_wait"] for row in rows if "data_wait" in row][-1])


def main(case: str, folder: str) -> None:
    """Measure one case."""
    if not torch.cuda.is_available():
        raise SystemExit("no CUDA device")
    clock = Clock()
    with tempfile.TemporaryDirectory(dir=Path(folder).parent) as name:
        batch, given = settings(case, folder, Path(name))
        out = Path(name) / "run"
        lightly_core.pretrain(
            out=out,
            **given,
            **paper(),
            loggers={"tensorboard": None},
            callbacks={"knn": None, "signals": None, "report": None, "model_checkpoint": None},
            trainer_args={"callbacks": [clock], "max_steps": WARMUP + STEPS},
        )
        speed = (clock.end - clock.start) / STEPS / batch * 1e3
        wait = data_wait(out)
    print(json.dumps({"speed": speed, "wait": wait}))


if __name__ == "__main__":
    main(*sys.argv[1:])
