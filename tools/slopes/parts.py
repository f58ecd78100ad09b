"""The parts of a run whose cost grows with images, weights or features."""

from __future__ import annotations

import io
import os
import tarfile
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import evolve
from PIL import Image

from lightly_core.data.fingerprint import contents
from lightly_core.data.folder import FolderSource
from lightly_core.data.paths import list_folder
from lightly_core.data.sampler import epoch_order, windowed_order
from lightly_core.data.sources import open_source
from lightly_core.embedding.writers import open_writer
from lightly_core.engine.checkpoint_io import AtomicCheckpointIO, read_checkpoint
from lightly_core.engine.folder import RunFolder
from lightly_core.engine.snapshot import snapshot
from lightly_core.evaluation.knn import weighted_knn
from lightly_core.testing.processes import shared_pair
from tools.slopes.measure import Cost, Part, work

#: Images of a folder, and of a shard.
_IN_A_FOLDER = 1000
#: Length of the features, that of a ViT-S.
DIM = 384
QUERIES = 1000


def _folder_of(number: int, folder: Path) -> str:
    """Write files that are links to one image, a thousand to a folder, which is a class."""
    picture = _picture()
    for start in range(0, number, _IN_A_FOLDER):
        inside = folder / f"images/{start // _IN_A_FOLDER:05}"
        inside.mkdir(parents=True)
        first = inside / f"{start:08}.jpg"
        first.write_bytes(picture)
        for index in range(start + 1, start + _IN_A_FOLDER):
            os.link(first, inside / f"{index:08}.jpg")
    return str(folder / "images")


def _picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48)).save(file, "JPEG")
    return file.getvalue()


def _list(number: int, folder: Path) -> Cost:
    images = _folder_of(number, folder)
    return work(lambda: FolderSource(list_folder(images), class_folders=True))


def _labels(number: int, folder: Path) -> Cost:
    source = FolderSource(list_folder(_folder_of(number, folder)), class_folders=True)
    return work(source.labels)


def _digest(number: int, folder: Path) -> Cost:
    source = FolderSource(list_folder(_folder_of(number, folder)))
    return work(lambda: contents(source))


def _shards(number: int, folder: Path) -> Cost:
    picture = _picture()
    for start in range(0, number, _IN_A_FOLDER):
        with tarfile.open(folder / f"{start // _IN_A_FOLDER:05}.tar", "w") as shard:
            for index in range(start, start + _IN_A_FOLDER):
                for name, data in ((f"{index:08}.jpg", picture), (f"{index:08}.cls", b"7")):
                    entry = tarfile.TarInfo(name)
                    entry.size = len(data)
                    shard.addfile(entry, io.BytesIO(data))
    cache = folder / "cache"
    os.environ["LIGHTLY_CACHE_DIR"] = str(cache)
    last = number // _IN_A_FOLDER - 1
    cost = work(lambda: open_source(f"wds:{folder}/{{00000..{last:05}}}.tar"))
    return evolve(cost, disk=_bytes_of(cache))


def _order(number: int, folder: Path) -> Cost:
    return work(lambda: epoch_order(number, seed=0, epoch=0))


def _windows(number: int, folder: Path) -> Cost:
    sizes = np.full(number // _IN_A_FOLDER, _IN_A_FOLDER)
    return work(lambda: windowed_order(sizes, 10_000, seed=0, epoch=0))


def _state(weights: int) -> dict[str, Any]:
    """Return weights, and two averages of gradients as AdamW keeps them."""
    return {name: torch.ones(weights) for name in ("weights", "exp_avg", "exp_avg_sq")}


def _copy(weights: int, folder: Path) -> Cost:
    state = _state(weights)
    return work(lambda: snapshot(state), by_clock=True)


def _write(weights: int, folder: Path) -> Cost:
    state, path = _state(weights), folder / "x.ckpt"
    writer = AtomicCheckpointIO(RunFolder(folder))
    cost = work(lambda: writer.save_checkpoint(state, path), by_clock=True)
    return evolve(cost, disk=path.stat().st_size)


def _read(weights: int, folder: Path) -> Cost:
    path = folder / "x.ckpt"
    AtomicCheckpointIO(RunFolder(folder)).save_checkpoint(_state(weights), path)
    return work(lambda: read_checkpoint(path), by_clock=True)


def all_reduce_seconds(rank: int, weights: int) -> float:
    """Return the time of the clock that the sum of gradients over the processes takes."""
    gradients = torch.ones(weights)
    torch.distributed.all_reduce(gradients)  # connects
    torch.distributed.barrier()
    return work(lambda: torch.distributed.all_reduce(gradients), by_clock=True).seconds


def _all_reduce(weights: int, folder: Path) -> Cost:
    return Cost(max(shared_pair().run(all_reduce_seconds, weights)))


def _neighbours(bank: int, folder: Path) -> Cost:
    torch.manual_seed(0)
    train, query = torch.randn(bank, DIM), torch.randn(QUERIES, DIM)
    labels = torch.arange(bank) % 10
    with redirect_stderr(io.StringIO()):
        return work(
            lambda: weighted_knn(train, labels, query, labels[:QUERIES], num_classes=10, k=20)
        )


def _features(number: int, folder: Path) -> Cost:
    path, batch = folder / "features.parquet", torch.randn(_IN_A_FOLDER, DIM).numpy()

    def write() -> None:
        with open_writer("parquet", path, (DIM,)) as writer:
            for start in range(0, number, _IN_A_FOLDER):
                names = [f"images/{start + row:08}.jpg" for row in range(_IN_A_FOLDER)]
                writer.add(names, batch)

    return evolve(work(write), disk=path.stat().st_size)


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


FILES = (20_000, 60_000, 200_000)
IN_MEMORY = (1_000_000, 4_000_000, 16_000_000)
WEIGHTS = (10_000_000, 30_000_000, 100_000_000)

IMAGES = (
    Part("list the files of a folder", "images", FILES, _list),
    Part("labels from class folders", "images", FILES, _labels),
    Part("compare the images when a run is resumed", "images", FILES, _digest),
    Part("index of tar shards, at the first opening", "images", (5_000, 10_000, 40_000), _shards),
    Part("order of an epoch", "images", IN_MEMORY, _order),
    Part("order of an epoch of shards", "images", IN_MEMORY, _windows),
    Part(f"features of {DIM} numbers to Parquet", "images", (20_000, 40_000, 80_000), _features),
    Part(
        f"kNN: {QUERIES:,} queries among features of {DIM} numbers",
        "images",
        (20_000, 60_000, 200_000),
        _neighbours,
    ),
)
MODELS = (
    Part("copy of a checkpoint with AdamW: training waits", "weights", WEIGHTS, _copy),
    Part("write it to disk, in the background", "weights", WEIGHTS, _write),
    Part("read it when a run is resumed", "weights", WEIGHTS, _read),
    Part("sum of float32 gradients over 2 processes, loopback", "weights", WEIGHTS, _all_reduce),
)
PARTS = (*IMAGES, *MODELS)
