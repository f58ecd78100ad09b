"""Memory that is freed during training on a CPU."""

import platform
import subprocess
import sys

import pytest

from lightly_core.engine import allocation

#: Fills and frees three blocks of 30 MiB per round, and prints the number of new pages.
ROUNDS = """
import ctypes, resource
from lightly_core.engine.allocation import keep_freed_memory, return_freed_memory
libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype = ctypes.c_void_p
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
size = 30 * 2**20

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [libc.malloc(size) for _ in range(3)]
    for block in blocks:
        libc.memset(block, 1, size)
    for block in blocks:
        libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if %r:
    assert keep_freed_memory()
faults(), faults(), faults()
print(faults())
return_freed_memory()
print(faults())
"""


def faults(keep):
    """Return the faults of the fourth round, and of one after the memory was returned."""
    run = subprocess.run(
        [sys.executable, "-c", ROUNDS % keep], check=True, capture_output=True, text=True
    )
    return [int(line) for line in run.stdout.split()]


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="thresholds of glibc")
def test_freed_memory_is_used_again_until_it_is_returned():
    usual, kept = faults(keep=False), faults(keep=True)
    assert usual[0] > 1000  # 23,040 pages of 4 KiB
    assert kept[0] < 100
    assert kept[1] > 1000


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD"])
def test_an_environment_that_chooses_is_left_alone(monkeypatch, name):
    monkeypatch.setenv(name, "1")
    monkeypatch.setattr(allocation, "_glibc", lambda: pytest.fail("was changed"))
    assert allocation.keep_freed_memory() is False


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(allocation.sys, "platform", "win32")
    monkeypatch.setattr(allocation, "_glibc", lambda: pytest.fail("was changed"))
    assert allocation.keep_freed_memory() is False
    allocation.return_freed_memory()
