"""Small networks, and a way to call `lightly_core.export`."""

import pytest
import torch

import lightly_core
from lightly_core.testing.models import TinyConv


@pytest.fixture
def tiny():
    """A network with batch statistics that are not the initial ones."""
    torch.manual_seed(0)
    model = TinyConv()
    model(torch.rand(8, 3, 16, 16))
    return model


@pytest.fixture
def export(tmp_path, tiny):
    """Call `lightly_core.export`, with the settings that a test is not about."""

    def call(out="model.pt", **changes):
        settings = {"out": tmp_path / out, "model": tiny, "image_size": 32, **changes}
        return lightly_core.export(**settings)

    return call
