from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Weights cannot be fetched in these tests."""

    def refuse(*args, **kwargs):
        raise OSError("no network in tests")

    for name in ("load_state_dict_from_hf", "load_state_dict_from_url", "download_cached_file"):
        monkeypatch.setattr(f"timm.models._builder.{name}", refuse)


@pytest.fixture(scope="session")
def library():
    from lightly_timm.library import TimmLibrary

    return TimmLibrary()


@pytest.fixture
def create(library):
    """Build a wrapper by name."""

    def create(name, channels=3, **model_args):
        return library.create(name, num_input_channels=channels, model_args=model_args)

    return create


@pytest.fixture
def vit():
    """Build a small module of timm's, with weights at which all parts make a difference."""
    import timm

    def vit(name="test_vit", **arguments):
        model = timm.create_model(name, **{"depth": 3, "dynamic_img_size": True, **arguments})
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn_like(parameter) * 0.2)
        return model.eval()

    return vit
