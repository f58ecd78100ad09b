import subprocess
import sys

import pytest
import torch

from lightly_core.engine.callbacks import metrics
from lightly_core.engine.memory import peak_process_memory


@pytest.mark.parametrize(("platform", "unit"), [("linux", 1024), ("darwin", 1)])
def test_peak_memory_is_in_bytes(monkeypatch, platform, unit):
    resource = pytest.importorskip("resource", reason="Windows has no such module")
    monkeypatch.setattr(sys, "platform", platform)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert before * unit <= peak_process_memory() <= 1.5 * before * unit


PARENT = """
import subprocess, sys
ballast = bytearray(b"1") * (300 << 20)
child = "from lightly_core.engine.memory import peak_process_memory; print(peak_process_memory())"
print(subprocess.check_output([sys.executable, "-c", child], text=True), len(ballast))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory otherwise")
def test_the_memory_of_the_parent_does_not_count():
    printed = subprocess.check_output([sys.executable, "-c", PARENT], text=True)
    child, ballast = map(int, printed.split())
    assert child < 100 << 20 < ballast


def test_windows_has_no_such_number_and_the_metric_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_process_memory() is None
    assert metrics._memory(torch.device("cpu")) == {}
