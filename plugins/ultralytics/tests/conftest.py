from __future__ import annotations

import socket

import pytest
import torch
from packaging.version import Version


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


def skip_what_is_newer(name):
    from lightly_ultralytics.names import described_models, newest_known
    from lightly_ultralytics.upstream import upstream

    listed, names = newest_known()
    installed = upstream("ultralytics").__version__
    is_older = Version(installed) < Version(listed.removeprefix("ultralytics "))
    is_listed = name.endswith(".yaml") and name in names
    if is_older and is_listed and name not in described_models():
        pytest.skip(f"ultralytics {installed} has no {name}, {listed} has")


@pytest.fixture(scope="session")
def create(library):
    """Build a wrapper by name; skip the test where the installed ultralytics is too old for it."""

    def create(name, channels=3, **model_args):
        skip_what_is_newer(str(name))
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
