"""CPU seconds of LightlyTrain's embed on NUMBER photographs, as `photo_command.py` for ours.

python lightly_train_embed.py FOLDER NUMBER MODEL
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.programs.photo_command import child_seconds, link_photos

#: LightlyTrain embeds with a checkpoint only. One step of training makes one.
TRAIN = """
import sys, lightly_train
data, out, model = sys.argv[1:]
lightly_train.pretrain(
    out=out, data=data, model=model, method="simclr", epochs=1, batch_size=4, num_workers=0,
    accelerator="cpu", transform_args={"image_size": (64, 64)}, loggers={"tensorboard": None},
)
"""
EMBED = """
import sys, lightly_train
data, checkpoint, out = sys.argv[1:]
lightly_train.embed(
    out=out, data=data, checkpoint=checkpoint, format="torch", image_size=(224, 224),
    batch_size=128, num_workers=0, accelerator="cpu",
)
"""


def main(folder: str, number: str, model: str) -> None:
    """Train a step, then measure."""
    with tempfile.TemporaryDirectory() as temporary:
        few, many = f"{temporary}/few", f"{temporary}/many"
        link_photos(Path(folder), 4, Path(few))
        link_photos(Path(folder), int(number), Path(many))
        out = f"{temporary}/run"
        subprocess.run(
            [sys.executable, "-c", TRAIN, few, out, model], check=True, stdout=subprocess.DEVNULL
        )
        checkpoint = f"{out}/checkpoints/last.ckpt"
        value = child_seconds(("-c", EMBED, many, checkpoint, f"{temporary}/features.pt"))
    print(json.dumps({"value": value}))


if __name__ == "__main__":
    main(*sys.argv[1:])
