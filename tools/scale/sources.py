"""Each image is seen exactly once an epoch, by any processes and workers, also after a kill."""

import io
import json
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tools.faults.runs import make_images
from tools.scale.check import Check
from tools.scale.starting import alone, done, run, settings

#: Images; three epochs of four batches of twelve.
_NUM_IMAGES, _BATCH, _EPOCHS = 48, 12, 3
_IN_A_SHARD = 10
#: Step in which all processes are killed: the third of the second epoch.
_KILLED_IN = 7


def _each_once(folder: Path, kind: str, processes: int, workers: int) -> str:
    """Kill a run in its second epoch, let it go on, and count what it has seen."""
    data = _data(folder, kind)
    changes: dict[str, Any] = {
        "data": data,
        "num_workers": workers,
        "batch_size": _BATCH,
        "in_memory": False,
        "seen": True,
    }
    if processes > 1:
        changes |= {"devices": processes, "strategy": "ddp"}
    fault = {"kind": "kill", "rank": processes - 1, "step": _KILLED_IN}
    end = run(folder, [alone(settings(folder, **changes, fault=fault))])
    assert any(end.codes), end.text[-2000:]
    before = dict(_steps(folder))
    assert 0 < len(before) < _EPOCHS * _NUM_IMAGES // _BATCH, sorted(before)
    done(run(folder, [alone(settings(folder, **changes, resume_interrupted=True))]))
    steps = dict(_steps(folder))
    _count(steps)
    # Steps that were taken before and after the kill had the same images.
    changed = [step for step, images in before.items() if steps[step] != images]
    assert not changed, f"other images after the kill in steps {changed}"
    return f"{_EPOCHS} epochs of {_NUM_IMAGES} images, killed in step {_KILLED_IN}: each once"


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


def _data(folder: Path, kind: str) -> str:
    """Write the images, as files or in shards, and return the text that opens them."""
    images = make_images(folder / "images", _NUM_IMAGES)
    if kind == "folder":
        return str(images)
    files = sorted(images.iterdir())
    for start in range(0, _NUM_IMAGES, _IN_A_SHARD):
        with tarfile.open(folder / f"{start // _IN_A_SHARD}.tar", "w") as shard:
            for file in files[start : start + _IN_A_SHARD]:
                content = file.read_bytes()
                entry = tarfile.TarInfo(file.name)
                entry.size = len(content)
                shard.addfile(entry, io.BytesIO(content))
    last = (_NUM_IMAGES - 1) // _IN_A_SHARD
    return f"wds:{folder}/{{0..{last}}}.tar?buffer=16"


CHECKS = tuple(
    Check(
        f"{kind}: each image once an epoch, {processes} processes, {workers} workers, killed",
        partial(_each_once, kind=kind, processes=processes, workers=workers),
    )
    for kind in ("folder", "shards")
    for processes in (1, 2, 3)
    for workers in (0, 2)
)
