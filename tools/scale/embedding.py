"""`lightly embed` by several processes that are killed, and what features and neighbours cost."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from lightly_core.evaluation.knn import weighted_knn
from lightly_core.evaluation.neighbours import ExactSearch
from lightly_core.evaluation.retrieval import retrieval
from tools.scale.check import Check

_SIDE, _SHARD = 64, 20
_EMBED = ("-m", "lightly_core.cli", "embed")
#: One thread in every process, as torchrun sets it: another number may change the last bits.
_ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
_MOST_SECONDS = 600.0

#: Embeds and prints CPU seconds and peak memory in bytes.
_MEASURE = """
import json, sys, time
from lightly_core import embed
from lightly_core.engine.memory import peak_process_memory
started = time.process_time()
embed(**json.loads(sys.argv[1]))
print(json.dumps([time.process_time() - started, peak_process_memory()]))
"""


def killed_and_restarted(folder: Path) -> str:
    """Kill two processes of torchrun in mid-run, and start the same command again."""
    whole = _one_process(folder, 400)
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *_EMBED)
    words = [sys.executable, *torchrun, *_settings(folder, "out")]
    process = subprocess.Popen(words, env=_ENVIRONMENT, stdout=subprocess.DEVNULL)
    _wait(lambda: len(_files(folder / "out")) >= 3 or process.poll() is not None)
    for pid in [process.pid, *_descendants(process.pid)]:
        os.kill(pid, 9)
    process.wait()
    complete = len(_files(folder / "out"))
    if not 0 < complete < len(whole):
        raise AssertionError(f"{complete} of {len(whole)} files were complete at the kill")
    subprocess.run(words, env=_ENVIRONMENT, stdout=subprocess.DEVNULL, check=True)
    _compare(_files(folder / "out"), whole)
    return f"killed with {complete} of {len(whole)} files, then all equal to those of one process"


def one_is_killed(folder: Path) -> str:
    """Kill one of two processes without a launcher; the other one computes its files."""
    whole = _one_process(folder, 400)
    words = [sys.executable, *_EMBED, *_settings(folder, "out")]
    processes = [
        subprocess.Popen(
            words,
            env={**_ENVIRONMENT, "WORLD_SIZE": "2", "RANK": str(rank)},
            stdout=subprocess.DEVNULL,
        )
        for rank in range(2)
    ]
    _wait(
        lambda: (
            len(_files(folder / "out")) >= 3
            or any(process.poll() is not None for process in processes)
        )
    )
    processes[1].kill()
    complete = len(_files(folder / "out"))
    codes = [process.wait(_MOST_SECONDS) for process in processes]
    if codes[0] != 0 or complete >= len(whole):
        raise AssertionError(f"ended with {codes}, {complete} files were complete at the kill")
    _compare(_files(folder / "out"), whole)
    return f"killed with {complete} of {len(whole)} files; the other process computed the rest"


def cost_of_an_image(folder: Path) -> str:
    """Measure CPU time, memory and disk for each further image."""
    _write_images(folder / "images", 5000)
    found = {}
    for count in (1000, 5000):
        data = folder / f"{count}.txt"
        names = sorted(map(str, (folder / "images").iterdir()))[:count]
        data.write_text("\n".join(names), encoding="utf-8")
        out = folder / f"out{count}"
        settings = {"model": "timm/test_resnet", "data": str(data), "out": str(out)}
        settings |= {"image_size": _SIDE, "num_workers": 0, "accelerator": "cpu", "shard_size": 200}
        words = [sys.executable, "-c", _MEASURE, json.dumps(settings)]
        done = subprocess.run(words, env=_ENVIRONMENT, capture_output=True, text=True, check=True)
        seconds, memory = json.loads(done.stdout.splitlines()[-1])
        found[count] = (seconds, memory, sum(map(len, _files(out).values())))
    slopes = [(more - few) / 4000 for few, more in zip(found[1000], found[5000], strict=True)]
    return (
        f"{1e3 * slopes[0]:.2f} ms, {slopes[1]:,.0f} bytes of memory and {slopes[2]:,.0f} bytes of "
        f"disk for each image; {found[1000][1] / 2**20:,.0f} MiB in all"
    )


def cost_of_a_neighbour(folder: Path) -> str:
    """Measure exact kNN and retrieval for each query and image, at two sizes of the bank."""
    parts = []
    for count in (20_000, 80_000):
        bank, labels, queries, right = _clusters(count, 256, dim=384)
        seconds = _seconds(weighted_knn, bank, labels, queries, right, num_classes=500)
        few = {"query_features": queries[:32], "query_labels": right[:32]}
        ranking = _seconds(retrieval, bank, labels, **few)
        parts.append(
            f"{count}: kNN {1e9 * seconds / 256 / count:.0f} ns, "
            f"retrieval {1e9 * ranking / 32 / count:.0f} ns"
        )
    return "for each query and image of a bank of " + "; ".join(parts)


def recall_of_faiss(folder: Path) -> str:
    """Search 100,000 random clustered vectors by FAISS, beside an exact search."""
    from lightly_core.evaluation.faiss_search import FaissSearch, search_recall

    bank, _, queries, _ = _clusters(100_000, 512, dim=128)
    built = time.process_time()
    search = FaissSearch(bank)
    built = time.process_time() - built
    unit = F.normalize(queries, dim=1)
    exact, approximate = (
        _seconds(one, unit, 20) / len(unit) for one in (ExactSearch(bank), search)
    )
    recalls = search_recall(search, bank, queries, (1, 20, 200), seed=0)
    if recalls[20] < 0.9:
        raise AssertionError(f"recall {recalls}")
    found = ", ".join(f"{recall:.3f} at {k}" for k, recall in recalls.items())
    return (
        f"nlist {search.nlist}, nprobe {search.nprobe}: recall {found}; built in {built:.1f} s, "
        f"{1e6 * approximate:.0f} us a query, exact {1e6 * exact:.0f} us"
    )


# --------------------------------------------------------------------------- shared


def _write_images(folder: Path, count: int) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:06}.png", compress_level=1)


def _settings(folder: Path, out: str) -> list[str]:
    return [
        "model=timm/test_resnet",
        f"data={folder / 'images'}",
        f"out={folder / out}",
        f"image_size={_SIDE}",
        f"shard_size={_SHARD}",
        "batch_size=8",
        "num_workers=0",
        "accelerator=cpu",
    ]


def _one_process(folder: Path, count: int) -> dict[str, bytes]:
    """Write images, embed them in one process, and return its files."""
    _write_images(folder / "images", count)
    words = [sys.executable, *_EMBED, *_settings(folder, "whole")]
    subprocess.run(words, env=_ENVIRONMENT, stdout=subprocess.DEVNULL, check=True)
    return _files(folder / "whole")


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.parquet"))}


def _compare(found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    differing = [name for name in expected if found.get(name) != expected[name]]
    if differing or len(found) != len(expected):
        raise AssertionError(f"{len(found)} of {len(expected)} files, different: {differing[:3]}")


def _descendants(pid: int) -> list[int]:
    """Return the children of a process, their children and so on, from /proc."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents[int(status.parent.name)] = int(fields[1])
    found = [pid]
    for number in found:
        found += [child for child, parent in parents.items() if parent == number]
    return found[1:]


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _MOST_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("nothing happened")
        time.sleep(0.05)


def _seconds(function: Callable[..., object], *arguments: object, **named: object) -> float:
    """Return the CPU time of a call, which other work on the machine hardly changes."""
    started = time.process_time()
    function(*arguments, **named)
    return time.process_time() - started


def _clusters(count: int, num_queries: int, dim: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return random clustered vectors with their clusters: a bank, and queries."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(500, dim, generator=generator)

    def side(number: int) -> tuple[Tensor, Tensor]:
        labels = torch.randint(500, (number,), generator=generator)
        return centres[labels] + torch.randn(number, dim, generator=generator), labels

    return (*side(count), *side(num_queries))


CHECKS = (
    Check("two processes of torchrun, killed and restarted", killed_and_restarted),
    Check("one of two processes is killed", one_is_killed),
    Check("cost of an image", cost_of_an_image),
    Check("cost of a neighbour", cost_of_a_neighbour),
    Check("recall of FAISS, 100,000 vectors", recall_of_faiss),
)
