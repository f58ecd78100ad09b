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


def test_windows_has_no_such_number_and_the_metric_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_process_memory() is None
    assert metrics._memory(torch.device("cpu")) == {}
