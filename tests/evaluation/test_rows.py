"""Features that do not fit are in a file, with the same numbers."""

import os

import pytest
import torch

from lightly_core.errors import RunError
from lightly_core.evaluation import rows


@pytest.mark.parametrize(("total", "memory"), [(None, 10**6), (9, 10**6), (9, 10)])
def test_rows_are_those_that_were_added(total, memory, monkeypatch, tmp_path):
    monkeypatch.setattr(rows, "max_bytes", lambda: memory)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    features = torch.randn(8, 3)  # one image of nine was not readable
    collected = rows.FeatureRows(3, total)
    for part in features.split(5):
        collected.add(part)
    assert torch.equal(collected.finish(), features)
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_reported_before_anything_is_computed(monkeypatch):
    def full(descriptor, start, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rows, "max_bytes", lambda: 0)
    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    with pytest.raises(RunError, match=r"no space for .* No space left on device; set the"):
        rows.FeatureRows(3, 9)
