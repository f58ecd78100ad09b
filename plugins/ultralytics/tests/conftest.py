from __future__ import annotations

import socket

import pytest
import torch


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Nothing can be fetched in these tests."""

    def refuse(host, *args, **kwargs):
        raise OSError(f"no network in tests: {host}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="session")
def library():
    from lightly_ultralytics.library import UltralyticsLibrary

    return UltralyticsLibrary()


@pytest.fixture(scope="session")
def create(library):
    """Build a wrapper by name."""

    def create(name, channels=3, **model_args):
        return library.create(str(name), num_input_channels=channels, model_args=model_args)

    return create


@pytest.fixture
def trained(create):
    """Build a wrapper whose weights and statistics no new one has."""

    def trained(name, channels=3, **model_args):
        wrapper = create(name, channels, **model_args)
        with torch.no_grad():
            for parameter in wrapper.parameters():
                parameter.add_(0.01 * torch.randn_like(parameter))
            wrapper.train().forward_features(torch.randn(2, channels, 64, 64))
        return wrapper

    return trained
