"""Two runs in one folder, and signals that stop a run: to the process and to its group."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from tools.faults.runs import (
    LIMIT,
    RANDOM,
    End,
    Row,
    differing,
    kill,
    pretrain,
    run,
    start,
    state_of,
    wait,
)

_AT_ONCE = 8
_LONG = {"epochs": 100_000, "num_workers": 0}
_WISHES: dict[str, dict[str, bool]] = {
    "new": {},
    "overwrite=true": {"overwrite": True},
    "resume_interrupted=true": {"resume_interrupted": True},
}
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


def contention(folder: Path, images: Path, seconds: float) -> list[Row]:
    """Start runs in a folder that is in use, and stop runs by signals.

    Args:
        folder: Working folder.
        images: Folder of the images.
        seconds: Time for the signals. Each combination is tried at least once.
    """
    folder.mkdir(parents=True)
    for name, in_memory in (("whole", True), ("decoded", False)):
        end = run(folder / "log", folder / name, images, in_memory=in_memory)
        if end.code != 0:
            return [Row("none", "an undisturbed run", 1, 1, "it finishes", end.text[-400:])]
    return [
        _second_runs(folder, images),
        _runs_at_once(folder, images),
        *_stops(folder, images, time.monotonic() + seconds),
    ]


# ------------------------------------------------------------------ one folder


def _second_runs(folder: Path, images: Path) -> Row:
    out, log = folder / "used", folder / "first.log"
    number = start(log, pretrain, out, images, **_LONG)
    failures = []
    if not _wait_for(out / "checkpoints/last.ckpt"):
        failures.append(f"no checkpoint: {log.read_text(errors='replace')}")
    for name, wish in _WISHES.items():
        end = run(folder / "second.log", out, images, **wish)
        if not (end.refused and "in use" in end.text):
            failures.append(f"{name}: exit status {end.code}, {end.text}")
    failures += [] if os.waitpid(number, os.WNOHANG) == (0, 0) else ["the first run ended"]
    kill(number)
    end = run(folder / "second.log", out, images, overwrite=True)
    if end.code != 0 or differing(state_of(folder / "whole"), state_of(out)):
        failures.append(f"after the first was killed: exit status {end.code}, {end.text}")
    return Row(
        "a second run in the folder of a running one",
        "new, overwrite=true, resume_interrupted=true; overwrite=true after a SIGKILL of the first",
        len(_WISHES) + 1,
        len(failures),
        "refused, naming the process that holds the lock; the lock of a killed one is taken over",
        failures[0][-400:] if failures else "",
    )


def _runs_at_once(folder: Path, images: Path) -> Row:
    out = folder / "contested"
    failures = []
    for turn in range(_AT_ONCE):
        begin = {"overwrite": True} if turn else {}
        logs = [folder / f"{name}.log" for name in "ab"]
        numbers = [start(log, pretrain, out, images, **begin) for log in logs]
        ends = [wait(number, log) for number, log in zip(numbers, logs, strict=True)]
        good = [end for end in ends if end.code == 0]
        # With overwrite=true, one may start after the other has finished.
        others_refused = all(end.code == 0 or end.refused for end in ends)
        enough = len(good) == 1 or (turn > 0 and len(good) == 2)
        if not (enough and others_refused):
            texts = " / ".join(f"{end.code}: {end.text[-150:]}" for end in ends)
            failures.append(texts)
        elif differing(state_of(folder / "whole"), state_of(out)):
            failures.append("the result is not that of a single run")
    return Row(
        "two runs started in one folder at the same time",
        "two processes, first without, then with overwrite=true",
        _AT_ONCE,
        len(failures),
        "one is refused; the other is bit-equal to a single run",
        failures[0] if failures else "",
    )


# ------------------------------------------------------------------ signals


def _stops(folder: Path, images: Path, deadline: float) -> Iterator[Row]:
    ways = [(to_group, workers) for to_group in (False, True) for workers in (0, 2)]
    for number, (to_group, workers) in enumerate(ways):
        end = time.monotonic() + (deadline - time.monotonic()) / (len(ways) - number)
        tries, failures = 0, []
        while tries < len(_SIGNALS) or time.monotonic() < end:
            name = _SIGNALS[tries % len(_SIGNALS)]
            failure = _stop(folder, images, name, to_group, workers)
            failures += [failure] if failure else []
            tries += 1
        yield Row(
            "SIGINT, SIGTERM, SIGUSR1, SIGHUP to " + ("the group" if to_group else "the process"),
            f"during training, num_workers={workers}, then resume_interrupted=true",
            tries,
            len(failures),
            "exit code 130; the result is bit-equal to an uninterrupted run",
            failures[0][-400:] if failures else "",
        )


def _stop(folder: Path, images: Path, number: int, to_group: bool, workers: int) -> str:
    """Stop a run by a signal and resume it. Return what is wrong, or an empty text."""
    out, log = folder / "stopped", folder / "stopped.log"
    shutil.rmtree(out, ignore_errors=True)
    options = {"in_memory": False, "num_workers": workers}
    process = start(log, _lead_a_group, out, images, **options)
    if not _wait_for(out / "checkpoints/last.ckpt"):
        kill(process)
        return f"no checkpoint: {log.read_text(errors='replace')}"
    time.sleep(RANDOM.uniform(0, 0.3))
    (os.killpg if to_group else os.kill)(process, number)
    end = wait(process, log)
    name = signal.Signals(number).name
    if end.code == 0:  # it had finished before
        return _compared(folder, out, name)
    if end.code != 130:
        return f"{name}: exit status {end.code}, {end.text}"
    end = run(log, out, images, resume_interrupted=True, **options)
    return _resume_failure(end, name) or _compared(folder, out, name)


def _lead_a_group(out: Path, images: Path, **changes: object) -> None:
    os.setpgid(0, 0)
    pretrain(out, images, **changes)


def _resume_failure(end: End, name: str) -> str:
    return "" if end.code == 0 else f"{name}, then resumed: exit status {end.code}, {end.text}"


def _compared(folder: Path, out: Path, name: str) -> str:
    found = differing(state_of(folder / "decoded"), state_of(out))
    return f"{name}: {len(found)} tensors differ, such as {found[0]}" if found else ""


def _wait_for(file: Path) -> bool:
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        if file.exists():
            return True
        time.sleep(0.01)
    return False
