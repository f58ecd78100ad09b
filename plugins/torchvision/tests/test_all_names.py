"""Every name that torchvision lists, without memory for its numbers."""

from pathlib import Path

import pytest
import torch
from circles import mark_others

import lightly_torchvision

LISTED = Path(lightly_torchvision.__file__).with_name("models.txt").read_text().split()
HEADS = ("fc.", "classifier.", "head.", "heads.", "aux1.", "aux2.", "AuxLogits.")
SIZE = 224


def test_the_list_for_the_command_line_is_that_of_torchvision():
    from lightly_torchvision.names import classification_models

    assert classification_models() == LISTED


@pytest.fixture
def wrapper(name, create):
    """A model with arguments that change its tensors; its parameters are on the meta device."""
    from lightly_torchvision.library import without_memory

    with without_memory():
        return create(name, channels=4, num_classes=7)


@pytest.mark.families
@pytest.mark.parametrize("name", mark_others(pytest.mark.exhaustive, LISTED, *LISTED[::8]))
def test_snippet_shapes_and_gradients(name, wrapper, library, tmp_path, monkeypatch):
    require_same_tensors_from_snippet(name, wrapper.model, library, tmp_path, monkeypatch)
    wrapper.to("meta").train()
    found = wrapper.forward_features(torch.empty(2, 4, SIZE, SIZE, device="meta"))
    pooled = wrapper.forward_pool(found)["pooled_features"]
    dim = wrapper.feature_dim()
    assert found["features"].shape[:2] == (2, dim)
    assert SIZE // 8 >= found["features"].shape[2] == found["features"].shape[3] >= 5
    assert pooled.shape == (2, dim, 1, 1)
    (found["features"].sum() + pooled.sum()).backward()
    without = [n for n, p in wrapper.model.named_parameters() if p.grad is None]
    assert without
    assert all(parameter.startswith(HEADS) for parameter in without)


def require_same_tensors_from_snippet(name, model, library, folder, monkeypatch):
    from lightly_torchvision.library import without_memory

    state = model.state_dict()
    monkeypatch.setattr(torch, "load", lambda *a, **k: state)
    arguments = {"num_classes": 7}
    code = library.snippet(name, num_input_channels=4, model_args=arguments, file=folder / "a.pt")
    with without_memory():
        exec(code, scope := {})
    assert type(scope["model"]) is type(model)
