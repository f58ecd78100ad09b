"""Go on from trained weights without losing what they know.

    python examples/continue_pretraining.py out/continue

A small vision transformer is pretrained on the digits of scikit-learn; its file then stands for
released weights. From there DINOv2 goes on in three ways: everything at once; with the heads
trained first and a slow backbone; and with an anchor to the start beside that. For each way the
nearest-neighbour accuracy after every epoch is printed. One CPU core takes ten to twenty minutes;
`--epochs` and `--first-epochs` make it shorter. For real weights take ``model="dinov2/vits14"``
and your own images instead, and keep the arguments of the second or third way.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import lightly_core

#: A network of 0.3 million parameters, for images of 32 pixels.
MODEL: dict[str, Any] = {"model": "timm/test_vit", "model_args": {"img_size": 32, "patch_size": 8}}
#: Digits must not be mirrored or lose their strokes to strong changes.
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
#: Sizes that suit two thousand images, and a teacher that follows within an epoch.
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
    """Pretrain, go on in three ways, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for the runs")
    parser.add_argument("--first-epochs", type=int, default=15, help="length of the pretraining")
    parser.add_argument("--epochs", type=int, default=6, help="length of each continuation")
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
    """Train on the digits, and measure after each epoch."""
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
    """Return the nearest-neighbour accuracies of a run, from its start on."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    return [entry["knn/top1"] for entry in entries if "knn/top1" in entry]


if __name__ == "__main__":
    main()
