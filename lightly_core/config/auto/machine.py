"""Facts about the machine that can be found without torch."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from attrs import define

from lightly_core.config.reading.launch import Launch

_ROOT = Path("/")


@define(frozen=True, kw_only=True)
class Machine:
    """Facts from which "auto" settings are resolved.

    Attributes:
        cpus: CPUs that this process may use.
        cpus_per_process: Whether `cpus` are for this process only (one Slurm task per device), and
            so are not divided among the devices.
        cuda_devices: Number of CUDA devices.
        cuda_bf16: Whether they compute bfloat16 natively.
        mps: Whether Apple's GPU can be used.
        cpu_bf16: Whether the CPU computes bfloat16 natively.
        launch: The processes that a launcher has started; None: no launcher.
    """

    cpus: int = 1
    cpus_per_process: bool = False
    cuda_devices: int = 0
    cuda_bf16: bool = False
    mps: bool = False
    cpu_bf16: bool = False
    launch: Launch | None = None


def usable_cpus(*, root: Path = _ROOT, environ: Mapping[str, str] = os.environ) -> int:
    """Return how many CPUs this process may use, at least 1.

    It is the minimum of the process's affinity, the CPU quota of its control groups (version 1 or
    2, rounded down), and the CPUs that Slurm allocated to the task.

    Args:
        root: Folder that contains `/proc` and `/sys`.
        environ: Environment variables.
    """
    limits = [_affinity(), *_cgroup_limits(root)]
    slurm = environ.get("SLURM_CPUS_PER_TASK", "")
    if slurm.isdecimal():
        limits.append(int(slurm))
    return max(1, int(min(limits)))


def cpus_are_per_process(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether Slurm started several tasks and allocated CPUs to each of them."""
    tasks = environ.get("SLURM_NTASKS", "")
    return "SLURM_CPUS_PER_TASK" in environ and tasks.isdecimal() and int(tasks) > 1


def cpu_has_native_bf16(*, root: Path = _ROOT) -> bool:
    """Return whether the CPU multiplies bfloat16 in hardware (AVX512-BF16 or AMX)."""
    try:
        lines = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return False
    flags = {flag for line in lines if line.startswith("flags") for flag in line.split()}
    return not flags.isdisjoint({"avx512_bf16", "amx_bf16"})


def memory_bytes() -> int | None:
    """Return the size of the machine's memory in bytes; None: the system does not report it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def gpu_is_impossible(*, system: str = sys.platform, root: Path = _ROOT) -> bool:
    """Return whether torch cannot find a GPU on this machine. False: only torch knows.

    CUDA needs NVIDIA's driver library. ROCm needs the device of AMD's driver, or that of the host
    in the Windows Subsystem for Linux.

    Args:
        system: As `sys.platform`.
        root: Folder that contains `/dev`.
    """
    library = {"linux": "libcuda.so.1", "win32": "nvcuda.dll"}.get(system)
    if library is None or any((root / "dev" / name).exists() for name in ("kfd", "dxg")):
        return False
    try:
        ctypes.CDLL(library)
    except OSError:
        return True
    return False


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cgroup_limits(root: Path) -> Iterator[float]:
    """Yield the quota, in CPUs, of each control group around this process."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    groups = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            for folder in _upwards(groups, path):
                yield from _quota_v2(folder)
        elif "cpu" in controllers.split(","):
            for mount in {controllers, "cpu"}:
                for folder in _upwards(groups / mount, path):
                    yield from _quota_v1(folder)


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """Yield the group's folder and its parents, as a limit applies to all groups below it.

    In a container the path may be the host's. Then only the mount itself exists.
    """
    inner = PurePosixPath(path.lstrip("/"))
    for part in (inner, *inner.parents):
        yield mount / part


def _quota_v2(folder: Path) -> Iterator[float]:
    words = _words(folder / "cpu.max")
    if len(words) == 2 and words[0] != "max":
        yield int(words[0]) / int(words[1])


def _quota_v1(folder: Path) -> Iterator[float]:
    quota, period = _words(folder / "cpu.cfs_quota_us"), _words(folder / "cpu.cfs_period_us")
    if quota and period and int(quota[0]) > 0:
        yield int(quota[0]) / int(period[0])


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split()
    except OSError:
        return []
