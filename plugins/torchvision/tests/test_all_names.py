"""Every name that torchvision lists, without memory for its numbers."""

from pathlib import Path

import pytest
import torch

import lightly_torchvision
from lightly_torchvision.library import without_memory
from lightly_torchvision.names import classification_models

#: The others of each family differ in depth and width only.
QUICK = ("maxvit_t", "vgg11_bn", "vit_b_32", "resnext50_32x4d", "regnet_x_800mf")
NAMES = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
    for name in classification_models()
]
HEADS = ("fc.", "classifier.", "head.", "heads.", "aux1.", "aux2.", "AuxLogits.")


def test_the_list_for_the_command_line_is_that_of_torchvision():
    listed = Path(lightly_torchvision.__file__).with_name("models.txt").read_text().split()
    assert listed == classification_models()


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_gradients(name, create):
    with without_memory():
        wrapper = create(name)
    wrapper.to("meta").train()
    size = 224
    found = wrapper.forward_features(torch.empty(2, 3, size, size, device="meta"))
    pooled = wrapper.forward_pool(found)["pooled_features"]
    dim = wrapper.feature_dim()
    assert found["features"].shape[:2] == (2, dim)
    assert size // 8 >= found["features"].shape[2] == found["features"].shape[3] >= 5
    assert pooled.shape == (2, dim, 1, 1)
    (found["features"].sum() + pooled.sum()).backward()
    without = [n for n, p in wrapper.model.named_parameters() if p.grad is None]
    assert without
    assert all(parameter.startswith(HEADS) for parameter in without)


@pytest.mark.slow
@pytest.mark.parametrize("name", classification_models())
def test_the_snippet_builds_the_same_tensors(name, library, create, tmp_path, monkeypatch):
    args = {"num_classes": 7}
    with without_memory():
        wrapper = create(name, channels=4, **args)
    state = wrapper.model.state_dict()
    monkeypatch.setattr(torch, "load", lambda *a, **k: state)
    code = library.snippet(name, num_input_channels=4, model_args=args, file=tmp_path / "a.pt")
    with without_memory():
        exec(code, scope := {})
    assert type(scope["model"]) is type(wrapper.model)
