import copy

import pytest
import torch
from torch import nn

from lightly_core.errors import ConfigError
from lightly_core.models.embedding import EmbeddingWrapper
from lightly_core.models.probing import freeze_unused, probe, unfreeze


def replaced(toy, **methods):
    """A wrapper some of whose methods are replaced."""
    return type("Replaced", (toy.Wrapper,), methods)()


def test_sizes_stride_and_width_are_measured(toy):
    result = probe(toy.Wrapper(with_token=True), 3, (16, 24))
    assert result.feature_dim == 8
    assert result.feature_size == (4, 6)
    assert result.stride == (4.0, 4.0)
    assert result.has_cls_token


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"feature_dim": lambda self: 9}, r"returns 8 channels .* feature_dim\(\) returns 9"),
        ({"feature_dim": lambda self: 8.0}, "positive int"),
        ({"forward_features": lambda self, x: x}, "must return a dict with 'features'"),
        ({"forward_features": lambda self, x: {"out": x}}, r"got keys \['out'\]"),
        (
            {"forward_features": lambda self, x: {"features": self.model.conv(x).flatten(2)}},
            r"\(B, D, h, w\), got torch.float32 \(2, 8, 16\)",
        ),
        (
            {"forward_pool": lambda self, x: {"pooled_features": x["features"].mean((2, 3))}},
            r"forward_pool: 'pooled_features' must be a float tensor \(B, D, 1, 1\)",
        ),
        (
            {"forward_pool": lambda self, x: {"pooled_features": x["features"]}},
            r"must be \(2, 8, 1, 1\), got \(2, 8, 4, 4\)",
        ),
        (
            {"forward_pool": lambda self, x: {"pooled_features": [1.0]}},
            "must be a tensor, got list",
        ),
    ],
)
def test_a_wrong_wrapper_is_told_what_is_wrong(toy, methods, message):
    with pytest.raises(ConfigError, match=message):
        probe(replaced(toy, **methods), 3, 16)


def test_a_wrong_class_token_is_refused(toy):
    def forward_features(self, x):
        return {"features": self.model.conv(x), "cls_token": torch.zeros(2, 7)}

    with pytest.raises(ConfigError, match=r"'cls_token' must be \(2, 8\), got \(2, 7\)"):
        probe(replaced(toy, forward_features=forward_features), 3, 16)


def test_a_failing_model_names_channels_and_size(toy):
    with pytest.raises(ConfigError, match="4 channels, 16 x 16 pixels: RuntimeError"):
        probe(toy.Wrapper(), 4, 16)


@pytest.mark.parametrize("look", [probe, freeze_unused])
def test_looking_leaves_no_trace(toy, look):
    wrapper = toy.Wrapper().train()
    wrapper.model.norm.eval()  # A frozen norm has to stay frozen.
    state = copy.deepcopy(wrapper.state_dict())
    random_state = torch.get_rng_state()
    look(wrapper, 3, 16)
    torch.testing.assert_close(wrapper.state_dict(), state)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert wrapper.training
    assert wrapper.model.dropout.training
    assert not wrapper.model.norm.training
    assert all(parameter.grad is None for parameter in wrapper.parameters())


def test_a_random_wrapper_does_not_move_the_generator(toy):
    def forward_features(self, x):
        return {"features": self.model.conv(x) * torch.rand(1)}

    wrapper = replaced(toy, forward_features=forward_features)
    random_state = torch.get_rng_state()
    probe(wrapper, 3, 16)
    assert torch.equal(torch.get_rng_state(), random_state)


def test_the_classifier_is_frozen_and_thawed(toy):
    wrapper = toy.Wrapper()
    names = freeze_unused(wrapper, 3, 16)
    assert names == ["model.head.weight", "model.head.bias"]
    assert not wrapper.model.head.weight.requires_grad
    assert wrapper.model.conv.weight.requires_grad
    unfreeze(wrapper, names)
    assert all(parameter.requires_grad for parameter in wrapper.parameters())


def test_parameters_frozen_by_the_user_are_not_thawed(toy):
    wrapper = toy.Wrapper()
    wrapper.model.conv.requires_grad_(False)
    names = freeze_unused(wrapper, 3, 16)
    unfreeze(wrapper, names)
    assert not wrapper.model.conv.weight.requires_grad


def test_a_wholly_frozen_backbone_uses_none(toy):
    wrapper = toy.Wrapper()
    for part in (wrapper.model.conv, wrapper.model.norm):
        part.requires_grad_(False)
    assert freeze_unused(wrapper, 3, 16) == ["model.head.weight", "model.head.bias"]


def test_the_embedding_is_used(toy):
    wrapper = EmbeddingWrapper(toy.Wrapper(), 3)
    assert freeze_unused(wrapper, 3, 16) == ["wrapper.model.head.weight", "wrapper.model.head.bias"]


def test_gradients_that_are_there_stay(toy):
    wrapper = toy.Wrapper()
    weight: nn.Parameter = wrapper.model.conv.weight
    weight.grad = torch.ones_like(weight)
    freeze_unused(wrapper, 3, 16)
    assert torch.equal(weight.grad, torch.ones_like(weight))
