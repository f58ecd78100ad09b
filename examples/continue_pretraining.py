"""Continue pretraining from trained weights without losing the quality of their features.

    python examples/continue_pretraining.py out/continue

A small vision transformer is pretrained on the digits of scikit-learn. Its file takes the role of
released weights. DINOv2 then continues from it in three ways: all parameters are trained from the
start; the heads are trained first, and the backbone with a lower learning rate; the same, with a
loss on the distance to the features of the initial backbone. For each way the kNN accuracy after
every epoch is printed. This takes ten to twenty minutes on one CPU core. `--epochs` and
`--first-epochs` make it shorter. For released weights use ``model="dinov2/vits14"`` and your own
images, with the arguments of the second or third way.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import lightly_core

#: A network of 0.3 million parameters, for images of 32 pixels.
MODEL: dict[str, Any] = {"model": "timm/test_vit", "model_args": {"img_size": 32, "patch_size": 8}}
#: Flips and strong augmentations would change what a digit shows.
TRANSFORM = {
    "image_size": 32,
    "random_resize": {"min_scale": 0.4},
    "random_flip": None,
    "random_gray_scale": None,
    "gaussian_blur": None,
    "global_view_1": None,
    "local_view": {
        "num_views": 2,
        "view_size": 16,
        "gaussian_blur": None,
        "random_resize": {"min_scale": 0.15, "max_scale": 0.4},
    },
}
#: Head sizes for two thousand images, and a teacher momentum of 0.9, which averages over few steps.
METHOD = {"hidden_dim": 256, "bottleneck_dim": 64, "output_dim": 256, "momentum_start": 0.9}
WAYS: dict[str, dict[str, Any]] = {
    "all at once": {},
    "heads first": {"head_warmup_epochs": 2, "backbone_lr_factor": 0.1},
    "heads first, anchor": {
        "head_warmup_epochs": 2,
        "backbone_lr_factor": 0.1,
        "anchor_weight": 1.0,
    },
}


def main() -> None:
    """Pretrain, continue in three ways, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for the runs")
    parser.add_argument("--first-epochs", type=int, default=15, help="epochs of the pretraining")
    parser.add_argument("--epochs", type=int, default=6, help="epochs of each continuation")
    arguments = parser.parse_args()
    start = run(arguments.out / "start", arguments.first_epochs, METHOD)
    weights = next(file for file in start.exported if file.suffix == ".pt")
    print(f"before: {100 * (start.knn_after or 0):.1f} %")
    for name, options in WAYS.items():
        folder = arguments.out / name.replace(", ", "_").replace(" ", "_")
        run(folder, arguments.epochs, {**METHOD, **options}, checkpoint=weights)
        accuracies = " ".join(f"{100 * value:5.1f}" for value in knn_of(folder))
        print(f"{name:20} {accuracies}")


def run(
    out: Path, epochs: int, method_args: dict[str, Any], checkpoint: Path | None = None
) -> lightly_core.RunResult:
    """Train on the digits, and measure the kNN accuracy after each epoch."""
    return lightly_core.pretrain(
        out=out,
        data="builtin:digits",
        method="dinov2",
        method_args=method_args,
        checkpoint=checkpoint,
        epochs=epochs,
        batch_size=128,
        num_workers=0,
        optim="adamw",
        optim_args={"lr": 2e-3, "lr_scale_method": "none", "weight_decay_end": None},
        transform_args=TRANSFORM,
        callbacks={"knn": {"every_n_epochs": 1}},
        overwrite=True,
        **MODEL,
    )


def knn_of(folder: Path) -> list[float]:
    """Return the kNN accuracies of a run, before training and after each epoch."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    return [entry["knn/top1"] for entry in entries if "knn/top1" in entry]


if __name__ == "__main__":
    main()
