"""Each image is seen exactly once an epoch, by any processes and workers, also after a kill."""

import io
import json
import socket
import subprocess
import sys
import tarfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

from tools.faults.runs import make_images
from tools.scale.check import Check
from tools.scale.starting import End, done, forked, free_port, ranks, settings

#: Images; three epochs of four batches of twelve.
_NUM_IMAGES, _BATCH, _EPOCHS = 48, 12, 3
_IN_A_SHARD = 10
#: Step in which all processes are killed: the third of the second epoch.
_KILLED_IN = 7


def _each_once(folder: Path, kind: str, processes: int, workers: int) -> str:
    """Kill a run in its second epoch, let it go on, and count what it has seen."""
    changes: dict[str, Any] = {
        "num_workers": workers,
        "batch_size": _BATCH,
        "in_memory": False,
        "seen": True,
    }
    with _KINDS[kind](folder, make_images(folder / "images", _NUM_IMAGES)) as data:
        changes["data"] = data
        fault = {"kind": "kill", "rank": processes - 1, "step": _KILLED_IN}
        end = _run(folder, processes, settings(folder, **changes, fault=fault))
        assert end.codes == [-9] * processes, end.text[-2000:]
        before = dict(_steps(folder))
        assert 0 < len(before) < _EPOCHS * _NUM_IMAGES // _BATCH, sorted(before)
        done(_run(folder, processes, settings(folder, **changes, resume_interrupted=True)))
    steps = dict(_steps(folder))
    _count(steps)
    # Steps that were taken before and after the kill had the same images.
    changed = [step for step, images in before.items() if steps[step] != images]
    assert not changed, f"other images after the kill in steps {changed}"
    return f"{_EPOCHS} epochs of {_NUM_IMAGES} images, killed in step {_KILLED_IN}: each once"


def _run(folder: Path, processes: int, argument: str) -> End:
    """Run in some processes, with a cache of their own."""
    cache = {"LIGHTLY_CACHE_DIR": str(folder / "cache")}
    return forked(folder, argument, [{**one, **cache} for one in ranks(processes)])


def _count(steps: dict[int, list[int]]) -> None:
    """Check that each epoch has each image once, and another order than the one before."""
    per_epoch = _NUM_IMAGES // _BATCH
    assert sorted(steps) == list(range(1, _EPOCHS * per_epoch + 1)), sorted(steps)
    orders = []
    for epoch in range(_EPOCHS):
        own = [steps[1 + epoch * per_epoch + number] for number in range(per_epoch)]
        orders.append([image for images in own for image in images])
        wrong = {image: n for image, n in Counter(orders[-1]).items() if n != 1}
        lacking = set(range(_NUM_IMAGES)) - set(orders[-1])
        assert not wrong, f"epoch {epoch} has images several times: {wrong}"
        assert not lacking, f"epoch {epoch} lacks images {sorted(lacking)}"
    assert orders[0] != orders[1], "two epochs have the same order"


def _steps(folder: Path) -> Iterator[tuple[int, list[int]]]:
    """Yield each step, counted from 1, and the images that all processes had in it.

    A step that was repeated after the kill counts as it was the last time. Steps that not all
    processes have taken are left out.
    """
    parts: dict[int, dict[int, list[int]]] = defaultdict(dict)
    files = sorted(folder.glob("seen-*.jsonl"))
    for rank, file in enumerate(files):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            parts[row["step"]][rank] = row["images"]
    for step, by_rank in sorted(parts.items()):
        if len(by_rank) == len(files):
            yield step, [image for rank in sorted(by_rank) for image in by_rank[rank]]


def _folder(folder: Path, images: Path) -> AbstractContextManager[str]:
    return nullcontext(str(images))


def _shards(folder: Path, images: Path) -> AbstractContextManager[str]:
    files = sorted(images.iterdir())
    for number, start_of in enumerate(range(0, _NUM_IMAGES, _IN_A_SHARD)):
        with tarfile.open(folder / f"{number}.tar", "w") as shard:
            for file in files[start_of : start_of + _IN_A_SHARD]:
                content = file.read_bytes()
                entry = tarfile.TarInfo(file.name)
                entry.size = len(content)
                shard.addfile(entry, io.BytesIO(content))
    last = (_NUM_IMAGES - 1) // _IN_A_SHARD
    return nullcontext(f"wds:{folder}/{{0..{last}}}.tar?buffer=16")


def _stream(folder: Path, images: Path) -> AbstractContextManager[str]:
    """Parquet files of `datasets`, which the processes fetch when they need them."""
    from datasets import Dataset, Image, disable_progress_bars

    disable_progress_bars()
    files = sorted(map(str, images.iterdir()))
    for number, start_of in enumerate(range(0, _NUM_IMAGES, _IN_A_SHARD)):
        part = {"image": files[start_of : start_of + _IN_A_SHARD]}
        rows = Dataset.from_dict(part).cast_column("image", Image())
        rows.to_parquet(folder / f"{number}.parquet")
    return nullcontext(f"hf:{folder}/*.parquet?streaming=true&buffer=16")


@contextmanager
def _urls(folder: Path, images: Path) -> Iterator[str]:
    """Files behind a web server, of which none is kept."""
    port = free_port()
    words = ["-m", "http.server", "--bind", "127.0.0.1", "--directory", str(images), str(port)]
    server = subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/#cache_size=0"
    finally:
        server.kill()
        server.wait()


_KINDS: dict[str, Callable[[Path, Path], AbstractContextManager[str]]] = {
    "folder": _folder,
    "shards": _shards,
    "stream of Hugging Face": _stream,
    "URLs": _urls,
}

CHECKS = tuple(
    Check(
        f"{kind}: each image once an epoch, {processes} processes, {workers} workers, killed",
        partial(_each_once, kind=kind, processes=processes, workers=workers),
    )
    for kind in _KINDS
    for processes in (1, 2, 3)
    for workers in (0, 2)
)
