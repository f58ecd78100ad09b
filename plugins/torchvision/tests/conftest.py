from __future__ import annotations

import urllib.error

import pytest


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Weights cannot be fetched in these tests."""

    def refuse(url, *args, **kwargs):
        raise urllib.error.URLError(f"no network in tests: {url}")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)


@pytest.fixture(scope="session")
def library():
    from lightly_torchvision.library import TorchvisionLibrary

    return TorchvisionLibrary()


@pytest.fixture(scope="session")
def create(library):
    """Build a wrapper by name."""

    def create(name, channels=3, **model_args):
        return library.create(name, num_input_channels=channels, model_args=model_args)

    return create
