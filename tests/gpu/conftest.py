"""Tests on a CUDA device, run by `nox -s gpu`."""

import json

import pytest
import torch


@pytest.fixture(autouse=True)
def exact_arithmetic(monkeypatch):
    """Single precision as on a CPU, so that results can be compared."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.fixture
def read_losses():
    """The losses that a run has logged."""

    def read(result):
        lines = map(json.loads, (result.folder / "metrics.jsonl").read_text().splitlines())
        return [line["train_loss"] for line in lines if "train_loss" in line]

    return read
