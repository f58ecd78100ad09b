"""`lightly_core.wrap`: plain modules as backbones."""

import copy
import types

import pytest
import torch
from plain_nets import ChannelsLast, ConvNet, Returns, Transformer
from torch import nn

import lightly_core
from lightly_core import wrap
from lightly_core.contracts import ModelWrapper
from lightly_core.models.probing import freeze_unused, probe
from lightly_core.testing import parametrize_checks, wrapper_checks


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 48)


# --------------------------------------------------------------------------- what comes out


@pytest.mark.parametrize("mode", [True, False])
def test_the_features_are_the_output_of_the_part(images, mode):
    model = ConvNet()
    wrapper = wrap(model, features="stages.1").train(mode)
    expected = copy.deepcopy(model).train(mode).stages(model.stem(images))
    features = wrapper.forward_features(images)
    torch.testing.assert_close(features, {"features": expected})
    assert features["features"].shape == (2, 8, 4, 6)
    pooled = wrapper.forward_pool(features)["pooled_features"]
    torch.testing.assert_close(pooled, expected.mean((2, 3), keepdim=True))
    assert wrapper.feature_dim() == 8


def test_it_is_a_wrapper_around_the_users_module():
    model = ConvNet()
    wrapper = wrap(model, features="stages")
    assert isinstance(wrapper, nn.Module)
    assert isinstance(wrapper, ModelWrapper)
    assert wrapper.get_model() is model
    assert lightly_core.get_wrapped_model(wrapper) is wrapper
    assert list(wrapper.state_dict()) == [f"model.{name}" for name in model.state_dict()]


def test_channels_that_are_last_come_first(images):
    model = ChannelsLast()
    features = wrap(model).forward_features(images)["features"]
    torch.testing.assert_close(features, model(images).permute(0, 3, 1, 2))
    assert features.shape == (2, 6, 8, 12)


@pytest.mark.parametrize("num_prefix", [0, 1, 3])
def test_tokens_become_a_map_and_prefix_tokens(images, num_prefix):
    model = Transformer(num_prefix)
    wrapper = wrap(model, features="block")
    found = wrapper.forward_features(images)
    patches = model.block(model.patches(images).permute(0, 2, 3, 1) + model.position[:, None])
    torch.testing.assert_close(found["features"], patches.permute(0, 3, 1, 2))
    if not num_prefix:
        assert list(found) == ["features"]
        return
    prefix = model.block(model.prefix + model.position).expand(2, -1, -1)
    torch.testing.assert_close(found["prefix_tokens"], prefix)
    torch.testing.assert_close(found["cls_token"], prefix[:, 0])


@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
def test_a_transformer_for_images_of_one_size(size):
    model = Transformer(num_prefix=1, size=size)
    wrapper = wrap(model, features="block", image_size=size)
    found = wrapper.forward_features(torch.randn(2, 3, *size))
    assert found["features"].shape == (2, 6, size[0] // 8, size[1] // 8)
    with pytest.raises(ValueError, match=rf"fails on images of 72 x 72.*all but {size[0]} x"):
        wrapper.forward_features(torch.randn(2, 3, 72, 72))


def test_the_number_of_prefix_tokens_may_be_given():
    # 4 patches and 5 prefix tokens look like a grid of 3 x 3.
    model = Transformer(num_prefix=5, size=(16, 16))
    found = wrap(model, features="block", image_size=16, num_prefix_tokens=5)
    features = found.forward_features(torch.randn(2, 3, 16, 16))
    assert features["prefix_tokens"].shape == (2, 5, 6)
    assert features["features"].shape == (2, 6, 2, 2)


def last_hidden_state(fine, coarse, pooled):
    return types.SimpleNamespace(last_hidden_state=coarse, pooler_output=pooled)


@pytest.mark.parametrize(
    ("make", "features", "channels"),
    [
        (lambda fine, coarse, pooled: [fine, coarse], None, 8),
        (lambda fine, coarse, pooled: (fine, coarse, pooled), None, 8),
        (lambda fine, coarse, pooled: (fine, coarse, pooled), ":0", 6),
        (lambda fine, coarse, pooled: {"map": coarse, "pooled": pooled}, None, 8),
        (lambda fine, coarse, pooled: {"fine": fine, "coarse": coarse}, ":fine", 6),
        (lambda fine, coarse, pooled: {0: fine, 1: coarse}, ":1", 8),
        (lambda fine, coarse, pooled: {"last_hidden_state": coarse, "all": fine}, None, 8),
        (last_hidden_state, None, 8),
    ],
)
def test_lists_and_dicts(images, make, features, channels):
    wrapper = wrap(Returns(make), features=features)
    assert wrapper.feature_dim() == channels
    assert probe(wrapper, 3, (32, 48)).feature_dim == channels


def test_an_entry_of_a_part(images):
    model = nn.Sequential(Returns(lambda fine, coarse, pooled: [fine, coarse]), nn.Identity())
    assert wrap(model, features="0:0").feature_dim() == 6


@pytest.mark.parametrize(
    ("model", "features", "pool", "expected"),
    [
        (ConvNet, "stages", "avg", lambda x: x.mean((2, 3))),
        (ConvNet, "stages", "max", lambda x: x.amax((2, 3))),
        (ConvNet, "stages", "avgpool", lambda x: x.mean((2, 3))),
        (ConvNet, "stages", nn.AdaptiveMaxPool2d(1), lambda x: x.amax((2, 3))),
        (ConvNet, "stages", lambda x: x[:, :, 0, 0], lambda x: x[:, :, 0, 0]),
        (ChannelsLast, None, "pool", lambda x: x.amax((2, 3))),
        (Transformer, "block", "avg", lambda x: x.mean((2, 3))),
        (Transformer, "block", "max", lambda x: x.amax((2, 3))),
    ],
)
def test_pooling(images, model, features, pool, expected):
    wrapper = wrap(model(), features=features, pool=pool)
    found = wrapper.forward_features(images)
    pooled = wrapper.forward_pool(found)["pooled_features"]
    assert pooled.shape == (2, wrapper.feature_dim(), 1, 1)
    torch.testing.assert_close(pooled.flatten(1), expected(found["features"]))


def test_the_class_token_pools(images):
    wrapper = wrap(Transformer(), features="block", pool="cls")
    found = wrapper.forward_features(images)
    pooled = wrapper.forward_pool(found)["pooled_features"].flatten(1)
    assert torch.equal(pooled, found["prefix_tokens"][:, 0])


def test_a_part_that_pools_tokens_gets_all_of_them(images):
    class AttentionPool(nn.Module):
        def forward(self, tokens):
            return tokens[:, 1] + tokens[:, -1]

    model = Transformer()
    model.attention = AttentionPool()
    wrapper = wrap(model, features="block", pool="attention")
    found = wrapper.forward_features(images)
    pooled = wrapper.forward_pool(found)["pooled_features"].flatten(1)
    expected = found["prefix_tokens"][:, 1] + found["features"][:, :, -1, -1]
    torch.testing.assert_close(pooled, expected)


def test_a_part_given_as_object_is_not_registered_twice():
    model = ConvNet()
    wrapper = wrap(model, features="stages", pool=model.avgpool)
    assert list(wrapper.state_dict()) == [f"model.{name}" for name in model.state_dict()]
    twin = copy.deepcopy(wrapper)
    assert twin.pool == "avgpool"


# ------------------------------------------------------------------------ contract


def conv_net():
    return wrap(ConvNet(), features="stages")


def channels_last():
    return wrap(ChannelsLast(), pool="pool")


def transformer():
    return wrap(Transformer(), features="block", pool="cls")


@parametrize_checks(wrapper_checks(conv_net))
def test_a_part_holds_the_contract(check):
    check()


@parametrize_checks(wrapper_checks(channels_last))
def test_a_whole_module_holds_the_contract(check):
    check()


@parametrize_checks(wrapper_checks(transformer))
def test_tokens_hold_the_contract(check):
    check()


def test_four_channels():
    model = ConvNet(channels=4)
    assert probe(wrap(model, features="stages", num_input_channels=4), 4, 32).feature_dim == 8


def test_what_is_behind_the_features_is_frozen_in_a_run_only():
    model = ConvNet()
    wrapper = wrap(model, features="stages")
    assert all(parameter.requires_grad for parameter in model.parameters())
    names = freeze_unused(wrapper, 3, 32)
    behind = ("behind.weight", "behind.bias", "classifier.weight", "classifier.bias")
    assert names == [f"model.{name}" for name in behind]


def test_a_module_for_another_precision():
    wrapper = wrap(ConvNet().to(torch.bfloat16), features="stages", pool="avgpool")
    features = wrapper.forward_features(torch.randn(2, 3, 32, 32, dtype=torch.bfloat16))
    assert features["features"].dtype == torch.bfloat16
