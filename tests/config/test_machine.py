import os

import pytest

from lightly_core.config.auto import machine
from lightly_core.config.auto.machine import (
    cpu_has_native_bf16,
    cpus_are_per_process,
    gpu_is_impossible,
    usable_cpus,
)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A file system without limits, on 12 CPUs."""
    monkeypatch.setattr(machine, "_affinity", lambda: 12)
    return tmp_path


def write(root, name, text):
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def test_without_limits_the_affinity_counts(root):
    assert usable_cpus(root=root, environ={}) == 12


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_affinity_is_that_of_the_process():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cpus(environ={}) == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("400000 100000", 4), ("250000 100000", 2), ("50000 100000", 1), ("max 100000", 12)],
)
def test_cgroup_v2_quota_is_rounded_down(root, text, cpus):
    write(root, "proc/self/cgroup", "0::/jobs/mine\n")
    write(root, "sys/fs/cgroup/jobs/mine/cpu.max", text + "\n")
    assert usable_cpus(root=root, environ={}) == cpus


def test_cgroup_v2_limit_of_a_parent_holds(root):
    write(root, "proc/self/cgroup", "0::/jobs/mine\n")
    write(root, "sys/fs/cgroup/jobs/mine/cpu.max", "800000 100000\n")
    write(root, "sys/fs/cgroup/jobs/cpu.max", "300000 100000\n")
    assert usable_cpus(root=root, environ={}) == 3


def test_cgroup_v2_in_a_container(root):
    write(root, "proc/self/cgroup", "0::/\n")
    write(root, "sys/fs/cgroup/cpu.max", "200000 100000\n")
    assert usable_cpus(root=root, environ={}) == 2


@pytest.mark.parametrize(("quota", "cpus"), [("600000", 6), ("-1", 12)])
@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
def test_cgroup_v1_where_the_path_is_that_of_the_host(root, mount, quota, cpus):
    write(root, "proc/self/cgroup", "4:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n")
    write(root, f"sys/fs/cgroup/{mount}/cpu.cfs_quota_us", quota)
    write(root, f"sys/fs/cgroup/{mount}/cpu.cfs_period_us", "100000")
    assert usable_cpus(root=root, environ={}) == cpus


def test_slurm_limits_the_task(root):
    assert usable_cpus(root=root, environ={"SLURM_CPUS_PER_TASK": "5"}) == 5
    assert usable_cpus(root=root, environ={"SLURM_CPUS_PER_TASK": "50"}) == 12


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        ({"SLURM_CPUS_PER_TASK": "8"}, False),
        ({"SLURM_CPUS_PER_TASK": "8", "SLURM_NTASKS": "1"}, False),
        ({"SLURM_CPUS_PER_TASK": "8", "SLURM_NTASKS": "4"}, True),
    ],
)
def test_slurm_tasks_have_their_own_cpus(environ, expected):
    assert cpus_are_per_process(environ) is expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx512f avx512_bf16", True),
        ("fpu amx_bf16 amx_tile", True),
        ("fpu avx512f avx512_bf16_not_really", False),
    ],
)
def test_native_bf16_is_read_from_the_flags(root, flags, expected):
    write(root, "proc/cpuinfo", f"processor\t: 0\nmodel name\t: amx_bf16?\nflags\t\t: {flags}\n")
    assert cpu_has_native_bf16(root=root) is expected


def test_without_cpuinfo_there_is_no_native_bf16(root):
    assert cpu_has_native_bf16(root=root) is False


@pytest.mark.parametrize(
    ("system", "driver", "device", "impossible"),
    [
        ("linux", None, None, True),
        ("linux", "libcuda.so.1", None, False),
        ("linux", None, "kfd", False),  # AMD
        ("linux", None, "dxg", False),  # the Windows Subsystem for Linux
        ("win32", None, None, True),
        ("win32", "nvcuda.dll", None, False),
        ("darwin", None, None, False),  # Apple's GPU
    ],
)
def test_a_gpu_is_impossible_without_a_driver(
    tmp_path, monkeypatch, system, driver, device, impossible
):
    def load(name):
        if name != driver:
            raise OSError(f"{name} cannot be opened")

    monkeypatch.setattr(machine.ctypes, "CDLL", load)
    (tmp_path / "dev").mkdir()
    if device is not None:
        (tmp_path / "dev" / device).touch()
    assert gpu_is_impossible(system=system, root=tmp_path) is impossible
