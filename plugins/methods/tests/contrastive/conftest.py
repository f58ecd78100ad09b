from pathlib import Path

import pytest
import torch

from lightly_core.config.reading.keyvalue import read_toml
from lightly_core.contracts import Batch, RunContext
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_config, load_target
from lightly_core.testing import MethodCase, TinyConv

METHODS = read_toml(Path(__file__).parents[1] / "methods.toml")


@pytest.fixture
def make_case():
    """Return a method with a tiny backbone: 4 x 4 positions of 8 pixels."""

    def make(name, *, batch_size=8, image_size=32, wrapper=TinyConv, **changes):
        record = get_plugins().catalog.get("method", name)
        arguments = {**METHODS[name]["args"], **changes}
        return MethodCase(
            load_target(record), load_config(record), arguments, wrapper, batch_size, image_size
        )

    return make


@pytest.fixture
def wrapper():
    torch.manual_seed(0)
    return TinyConv(feature_dim=16)


@pytest.fixture
def context():
    return RunContext(dataset_size=100, global_batch_size=8, total_steps=20, steps_per_epoch=10)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(8, 3, 16, 16, generator=generator)
    noise = 0.1 * torch.randn(2, 8, 3, 16, 16, generator=generator)
    return Batch(views=[images + noise[0], images.flip(3) + noise[1]], indices=torch.arange(8))
