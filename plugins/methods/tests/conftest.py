from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightly_core.config.reading.keyvalue import read_toml
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_config, load_target
from lightly_core.testing.method_case import MethodCase
from lightly_core.testing.models import TinyTokens

METHODS = read_toml(Path(__file__).with_name("methods.toml"))
# Batches of a few images leave batch norms little to go by.
NO_NORM = {name: {"batch_norm": False} for name in ("msn", "pmsn")}
OPTIONS = {name: {**small["args"], **NO_NORM.get(name, {})} for name, small in METHODS.items()}


@pytest.fixture(scope="session")
def small_options():
    """Options that make each method small, by its name."""
    return OPTIONS


@pytest.fixture(scope="session")
def registered_methods():
    """Names of all methods that the plugin adds."""
    records = get_plugins().catalog.records("method")
    return {record.name for record in records if record.plugin == "methods"}


@pytest.fixture
def make_case():
    """Return a method with a tiny transformer: 4 x 4 patches of 8 pixels."""

    def make(name, *, batch_size=8, image_size=32, wrapper=TinyTokens, **changes):
        record = get_plugins().catalog.get("method", name)
        arguments = {**OPTIONS[name], **changes}
        return MethodCase(
            load_target(record), load_config(record), arguments, wrapper, batch_size, image_size
        )

    return make


@pytest.fixture
def image_folder(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(24):
        pixels = rng.integers(256, size=(5, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((40, 40)).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def plain_sinkhorn():
    """Sinkhorn's iterations on rows of positive numbers, written as in the papers' code."""

    def run(rows, num_iterations):
        q = rows.T / rows.sum()  # (K, B)
        num_classes, num_rows = q.shape
        for _ in range(num_iterations):
            q = q / q.sum(dim=1, keepdim=True) / num_classes
            q = q / q.sum(dim=0, keepdim=True) / num_rows
        return (q * num_rows).T

    return run
