"""SIGKILL at random times, then a resume. The result must be that of an uninterrupted run."""

import shutil
import time
from pathlib import Path

from lightly_core.plugins.discovery import get_plugins
from tools.faults.runs import (
    METHODS,
    RANDOM,
    Row,
    differing,
    kill,
    leftovers,
    pretrain,
    run,
    start,
    state_of,
    wait,
)

ACCUMULATIONS = (1, 3)


def kills(folder: Path, images: Path, seconds: float) -> list[Row]:
    """Kill runs of three methods, with and without accumulation.

    Args:
        folder: Working folder.
        images: Folder of the images.
        seconds: Time for all runs.
    """
    pairs = [(method, steps) for method in METHODS for steps in ACCUMULATIONS]
    end = time.monotonic() + seconds
    rows = []
    for number, (method, accumulation) in enumerate(pairs):
        budget = (end - time.monotonic()) / (len(pairs) - number)
        rows.append(_kills_of(folder / f"{method}-{accumulation}", images, method, budget))
    return rows


def every_method(folder: Path, images: Path) -> list[Row]:
    """Kill one run of every registered method, with and without accumulation, until it finishes."""
    rows = [
        _kills_of(folder / f"{method}-{accumulation}", images, method, seconds=0, most=1)
        for method in get_plugins().catalog.usable_names("method")
        for accumulation in ACCUMULATIONS
    ]
    failed = [row for row in rows if row.failed]
    return [
        Row(
            f"SIGKILL, {len(rows) // 2} methods, accumulation 1 and 3",
            "at random times, then resume_interrupted=true, until the run has finished",
            sum(row.tries for row in rows),
            len(failed),
            "bit-equal to an uninterrupted run",
            f"{failed[0].fault}: {failed[0].note}" if failed else f"finished runs: {len(rows)}",
        )
    ]


def _kills_of(folder: Path, images: Path, method: str, seconds: float, most: int = 5) -> Row:
    accumulation = int(folder.name.rpartition("-")[2])
    changes = {"gradient_accumulation_steps": accumulation}
    log = folder / "log"
    folder.mkdir(parents=True)
    deadline = time.monotonic() + seconds
    begun = time.monotonic()
    end = run(log, folder / "whole", images, method, **changes)
    took = time.monotonic() - begun
    failures = [] if end.code == 0 else [f"the uninterrupted run ended with {end.code}: {end.text}"]
    killed = finished = 0
    while not failures and (not finished or time.monotonic() < deadline):
        count, failure = _one_run(folder, images, method, took, changes, most)
        killed, finished = killed + count, finished + 1
        failures += [failure] if failure else []
    return Row(
        f"SIGKILL, {method}, accumulation {accumulation}",
        "at random times, then resume_interrupted=true, until the run has finished",
        killed,
        len(failures),
        "bit-equal to an uninterrupted run",
        failures[0][-400:] if failures else f"finished runs: {finished}",
    )


def _one_run(
    folder: Path, images: Path, method: str, took: float, changes: dict[str, int], most: int
) -> tuple[int, str]:
    """Kill a run up to `most` times. Return the number of kills, and what is wrong at the end."""
    out, log = folder / "cut", folder / "log"
    shutil.rmtree(out, ignore_errors=True)
    wanted, killed = RANDOM.randint(1, most), 0
    while True:
        begin = _beginning(out)
        number = start(log, pretrain, out, images, method, **begin, **changes)
        if killed < wanted:
            time.sleep(RANDOM.uniform(0, 1.1 * took))
            kill(number)
            killed += 1
            continue
        end = wait(number, log)
        if end.code != 0:
            return killed, f"after {killed} kills: exit status {end.code}, {end.text}"
        break
    found = differing(state_of(folder / "whole"), state_of(out))
    if found:
        return killed, f"{len(found)} tensors differ, such as {found[0]}"
    left = leftovers(out)
    return killed, f"left over: {left}" if left else ""


def _beginning(out: Path) -> dict[str, bool]:
    if any(out.glob("checkpoints/*.ckpt")):
        return {"resume_interrupted": True}
    return {"overwrite": True}
