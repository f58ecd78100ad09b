"""Limits of the machine: disk space, write permission, file handles, shared memory."""

import ctypes
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from lightly_core.checksum import damage_of
from tools.faults.runs import (
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

_NEW_MOUNTS = 0x00020000  # CLONE_NEWNS
NUM_FULL = 5
#: Epochs of the run during which the disk gets full.
LONG = 20
#: Limit of file handles of a process. A run without workers uses nine.
HANDLES = 14


def limits(folder: Path, images: Path) -> list[Row]:
    """Run with each limit."""
    folder.mkdir(parents=True)
    end = run(folder / "log", folder / "whole", images)
    if end.code != 0:
        return [Row("limits", "", 1, 1, "", end.text[-400:])]
    return [
        _full_disk(folder, images),
        _file_size(folder, images),
        _read_only(folder, images),
        _few_handles(folder, images),
        _small_shared_memory(folder, images),
    ]


def mounted(folder: Path, size: str) -> bool:
    """Mount a small file system in memory at `folder`. Return whether it worked; it needs root."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def unmount(folder: Path) -> None:
    """Unmount the file system at `folder`."""
    subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


def _full_disk(folder: Path, images: Path) -> Row:
    disk = folder / "disk"
    fault, how = "disk full during training", "file system of 16 MiB filled, then freed"
    expected = "a clear error, intact checkpoints, then bit-equal after a resume"
    if not mounted(disk, "16m"):
        return Row(fault, f"{how}: needs root, skipped", 0, 0, expected)
    failures = []
    run(folder / "log", folder / "long", images, epochs=LONG)
    try:
        for number in range(NUM_FULL):
            failures += [found] if (found := _fill(folder, disk / str(number), images)) else []
    finally:
        unmount(disk)
    return Row(fault, how, NUM_FULL, len(failures), expected, "".join(failures[:1])[-600:])


def _fill(folder: Path, out: Path, images: Path) -> str:
    log = folder / "log"
    number = start(log, pretrain, out, images, epochs=LONG)
    deadline = time.monotonic() + 60
    while not (out / "checkpoints/last.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(RANDOM.uniform(0, 0.3))
    filler = out.parent / "filler"
    _use_up(filler)
    end = wait(number, log)
    bad = [path.name for path in out.glob("checkpoints/*.ckpt") if damage_of(path) is not None]
    filler.unlink()
    if end.code != 1 or bad:
        return f"exit status {end.code}, damaged: {bad}, {end.text}"
    end = run(log, out, images, epochs=LONG, resume_interrupted=True)
    if end.code != 0:
        return f"resume: exit status {end.code}, {end.text}"
    found = differing(state_of(folder / "long"), state_of(out))
    shutil.rmtree(out)
    return f"{len(found)} tensors differ" if found else ""


def _use_up(filler: Path) -> None:
    """Write to a file until the disk is full."""
    with filler.open("wb", buffering=0) as file:
        for size in (2**20, 2**14, 2**9, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue


def _file_size(folder: Path, images: Path) -> Row:
    """Limit files to 20 kB, as a quota does, so that no checkpoint can be written."""

    def limited(out: Path) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        pretrain(out, images)

    return _refused_then_fine(
        folder, images, "files of at most 20 kB", "RLIMIT_FSIZE", "limited", limited
    )


def _read_only(folder: Path, images: Path) -> Row:
    disk = folder / "read-only"
    if mounted(disk, "1m"):
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=False, capture_output=True)
        how = "a file system mounted read-only"
    else:
        disk.chmod(0o555)
        how = "a folder without permission to write"
    try:
        end = run(folder / "log", disk / "out", images)
    finally:
        unmount(disk)
    return Row(
        "out cannot be written",
        how,
        1,
        int(not end.refused),
        "a clear error",
        end.text.strip()[-300:] if not end.refused else "",
    )


def _few_handles(folder: Path, images: Path) -> Row:
    def limited(out: Path) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (HANDLES, HANDLES))
        pretrain(out, images, num_workers=2, in_memory=False)

    return _refused_then_fine(
        folder, images, f"{HANDLES} file handles", "RLIMIT_NOFILE, two workers", "handles", limited
    )


def _small_shared_memory(folder: Path, images: Path) -> Row:
    fault, how = "64 kB of shared memory", "a new mount of /dev/shm, two workers"

    def limited(out: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_NEW_MOUNTS) != 0:
            os._exit(77)
        subprocess.run(["mount", "--make-rprivate", "/"], check=False)
        if not mounted(Path("/dev/shm"), "64k"):
            os._exit(77)
        pretrain(out, images, num_workers=2, in_memory=False, transform_args={"image_size": 96})

    return _refused_then_fine(folder, images, fault, how, "shm", limited)


def _refused_then_fine(
    folder: Path,
    images: Path,
    fault: str,
    how: str,
    name: str,
    limited: Callable[[Path], None],
) -> Row:
    """Run under a limit, which must succeed or end with a clear error, and then without it."""
    out, log = folder / name, folder / "log"
    number = start(log, limited, out)
    try:
        end = wait(number, log, 120)
    except ChildProcessError:
        kill(number)
        raise
    expected = "done, or a clear error; then a new run works"
    if end.code == 77:
        return Row(fault, f"{how}: needs root, skipped", 0, 0, expected)
    failure = "" if end.code in (0, 1) else f"exit status {end.code}: {end.text}"
    again = run(log, out, images, overwrite=True)
    if again.code != 0:
        failure += f"; afterwards: exit status {again.code}, {again.text}"
    elif found := differing(state_of(folder / "whole"), state_of(out)):
        failure += f"; afterwards {len(found)} tensors differ"
    elif left := leftovers(out):
        failure += f"; left over: {left}"
    outcome = "finished in spite of it" if end.code == 0 else end.text.strip().splitlines()[-1:]
    note = failure[-600:] or (outcome if isinstance(outcome, str) else "".join(outcome)[:160])
    return Row(fault, how, 1, int(bool(failure)), expected, note)
