"""Private memory in MiB of a loader worker after 60 batches, for a list of a million files.

python worker_memory.py FOLDER NUMBER
"""

from __future__ import annotations

import gc
import json
import sys
from dataclasses import replace
from pathlib import Path

import lightning.pytorch  # noqa: F401 - what a run has imported before it starts workers

from lightly_core.config.options.transform import TransformArgs
from lightly_core.data.dataset import build_loader
from lightly_core.data.folder import FolderSource
from lightly_core.data.paths import list_folder
from lightly_core.data.views.two_stage import TwoStageTransform


def collect(worker: int) -> None:
    """Run a full collection, which comes sooner or later in a long run."""
    gc.collect()


def main(folder: str, number: str) -> None:
    """Load batches with one worker and read its private memory from /proc."""
    listing = list_folder(folder)
    repeated = listing.names * (int(number) // listing.names.count(b"\0"))
    loader = build_loader(
        FolderSource(replace(listing, names=repeated)),
        TwoStageTransform(TransformArgs(image_size=64)),
        seed=0,
        per_device_batch_size=16,
        rank=0,
        world_size=1,
        num_workers=1,
        pin_memory=False,
        loader_args={"worker_init_fn": collect, "multiprocessing_context": "fork"},
    )
    batches = iter(loader)
    for _ in range(60):
        next(batches)
    process = batches._workers[0].pid  # type: ignore[attr-defined]
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    kib = sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
    print(json.dumps({"value": kib / 1024}))


if __name__ == "__main__":
    main(*sys.argv[1:])
