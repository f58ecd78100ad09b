"""Store the numbers of a short run of every method, or compare with stored ones.

A refactoring must not change them: every logged value to the last bit, every exported tensor, all
names in the checkpoint. Run ``python -m tools.golden write FILE`` before it and
``python -m tools.golden compare FILE`` after it. Each method runs 24 steps in one process and in
two, in float32 on the CPU.
"""

import argparse
import hashlib
import json
import os
import socket
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from lightly_core.plugins.discovery import get_plugins
from tools.faults.runs import make_images, pretrain, start, state_of, wait

PROCESSES = (1, 2)
EPOCHS = 4  # of six steps
#: Parts of the names of metrics that only measure time or memory.
CLOCKS = ("data_wait", "per_second", "profile", "seconds", "memory")


def numbers_of(out: Path) -> dict[str, Any]:
    """Return the results of a run: metrics by step, and digests of its tensors by name."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    metrics = [
        {name: _exact(value) for name, value in sorted(line.items()) if not _is_clock(name)}
        for line in lines
    ]
    return {"metrics": metrics, "tensors": {k: _digest(v) for k, v in state_of(out).items()}}


def _is_clock(name: str) -> bool:
    return any(word in name for word in CLOCKS)


def _exact(value: object) -> object:
    return value.hex() if isinstance(value, float) else value


def _digest(value: object) -> str:
    if not isinstance(value, torch.Tensor):
        return repr(value)
    data = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return f"{value.dtype} {tuple(value.shape)} {hashlib.sha256(data).hexdigest()[:16]}"


def run_method(name: str, processes: int, folder: Path, images: Path) -> dict[str, Any]:
    """Run a method in forked processes, as torchrun starts them, and return its numbers.

    Raises:
        RuntimeError: A process failed.
    """
    out = folder / f"{name}-{processes}"
    settings = {"epochs": EPOCHS, "trainer_args": {"log_every_n_steps": 1}}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(processes):
        log = folder / f"{name}-{processes}-{rank}.log"
        environment = _torchrun(rank, processes, port) if processes > 1 else {}
        started.append((start(log, _run, environment, out, images, name, **settings), log))
    for number, log in started:
        end = wait(number, log)
        if end.code != 0:
            raise RuntimeError(
                f"{name} in {processes} processes ended with {end.code}:\n{end.text}"
            )
    return numbers_of(out)


def _torchrun(rank: int, processes: int, port: int) -> dict[str, str]:
    return {
        "TORCHELASTIC_RUN_ID": "golden",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "GROUP_RANK": "0",
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def _run(
    environment: Mapping[str, str], out: Path, images: Path, name: str, **settings: object
) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    pretrain(out, images, name, **settings)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return descriptions of the differences between the numbers of two runs."""
    found = []
    if len(before["metrics"]) != len(after["metrics"]):
        found.append(f"{len(before['metrics'])} lines of metrics, now {len(after['metrics'])}")
    for one, other in zip(before["metrics"], after["metrics"], strict=False):
        found += [f"step {one.get('step')}: {text}" for text in _unequal(one, other)]
    return found + _unequal(before["tensors"], after["tensors"])


def _unequal(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    names = sorted(before.keys() | after.keys())
    return [
        f"{name} was {before.get(name, 'absent')}, now {after.get(name, 'absent')}"
        for name in names
        if before.get(name) != after.get(name)
    ]


def all_numbers(names: Iterable[str], processes: Iterable[int]) -> dict[str, Any]:
    """Run all methods and return their numbers by ``method/processes``."""
    numbers = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        images = make_images(folder / "images")
        for name in names:
            for count in processes:
                key = f"{name}/{count}"
                try:
                    numbers[key] = run_method(name, count, folder, images)
                except RuntimeError as error:
                    numbers[key] = {"metrics": [], "tensors": {}, "error": str(error)}
                print(f"{key}: {'failed' if 'error' in numbers[key] else 'done'}", flush=True)
    return numbers


def main() -> int:
    """Write or compare, and return 1 if a number differs or a run fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["write", "compare"])
    parser.add_argument("file", type=Path, help="JSON file outside of the repository")
    parser.add_argument("--methods", nargs="*", help="methods to run; all by default")
    parser.add_argument("--processes", nargs="*", type=int, default=PROCESSES)
    options = parser.parse_args()
    names = options.methods or get_plugins().catalog.usable_names("method")
    numbers = all_numbers(names, options.processes)
    failed = [f"{key}: {value['error']}" for key, value in numbers.items() if "error" in value]
    if options.action == "write":
        options.file.write_text(json.dumps(numbers, indent=1))
    else:
        known = json.loads(options.file.read_text())
        for key in numbers:
            found = differences(known[key], numbers[key])
            print(f"{key}: {'equal' if not found else f'{len(found)} differences'}")
            failed += [f"{key}: {text}" for text in found[:5]]
    print("\n".join(failed))
    print(f"{len(numbers)} runs, {len(failed)} failures or differences shown")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
