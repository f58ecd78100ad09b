"""CPU milliseconds an image of LightlyTrain's input path, as `our_views.py` for ours.

python lightly_train_views.py METHOD FOLDER
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import warnings
from pathlib import Path

import cv2
import torch

NAMES = {
    "simclr": ("simclr", "SimCLR"),
    "dino": ("dino", "DINO"),
    "dinov2": ("dinov2", "DINOv2ViT"),
    "distillation": ("distillation", "Distillation"),
}


def main(method: str, folder: str) -> None:
    """Measure the second epoch: the first one imports libraries and gets memory."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    from lightly_train._data.image_dataset import ImageDataset

    package, name = NAMES[method]
    module = importlib.import_module(f"lightly_train._methods.{package}.{package}_transform")
    args = getattr(module, f"{name}TransformArgs")()
    args.resolve_auto()
    files = sorted(path.name for path in Path(folder).glob("*.jpg"))
    images = ImageDataset(
        image_dir=Path(folder),
        image_filenames=files,
        transform=getattr(module, f"{name}Transform")(args),
        num_channels=3,
    )
    for _ in range(2):
        start = time.process_time()
        samples = [images[index] for index in range(len(files))]
        torch.utils.data.default_collate(samples)
    print(json.dumps({"value": (time.process_time() - start) / len(files) * 1e3}))


if __name__ == "__main__":
    main(*sys.argv[1:])
