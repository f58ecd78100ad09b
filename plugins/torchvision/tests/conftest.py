from __future__ import annotations

import gc
import urllib.error

import pytest
import torch
import torchvision.models._api

from lightly_torchvision.library import TorchvisionLibrary


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Weights cannot be fetched in these tests."""

    def refuse(url, *args, **kwargs):
        raise urllib.error.URLError(f"no network in tests: {url}")

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", refuse)


@pytest.fixture(autouse=True)
def fixed_seed():
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="module")
def free_memory():
    yield
    gc.collect()


@pytest.fixture
def library():
    return TorchvisionLibrary()


@pytest.fixture
def create(library):
    """Build a wrapper by name."""

    def create(name, channels=3, **model_args):
        return library.create(name, num_input_channels=channels, model_args=model_args)

    return create
