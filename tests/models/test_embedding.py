import pytest
import torch

from lightly_core.contracts import ModelWrapper
from lightly_core.contracts.capabilities import TokenModel
from lightly_core.methods.requirements import require_capability
from lightly_core.models.embedding import EmbeddingWrapper, TokenEmbeddingWrapper, embed
from lightly_core.models.probing import freeze_unused, probe
from lightly_core.testing import TinyTokens, parametrize_checks, wrapper_checks


def linear(wrapper, tokens):
    """The embedding of tokens, written by hand."""
    return tokens @ wrapper.embed.weight[:, :, 0, 0].T + wrapper.embed.bias


def test_every_output_goes_through_the_same_linear_map(toy):
    inner = toy.Wrapper(with_token=True).eval()
    wrapper = EmbeddingWrapper(inner, 3).eval()
    images = torch.randn(2, 3, 8, 12)
    found = wrapper.forward_features(images)
    pooled = wrapper.forward_pool(found)["pooled_features"]

    plain = inner.forward_features(images)
    weight, bias = wrapper.embed.weight[:, :, 0, 0], wrapper.embed.bias
    by_hand = plain["features"].permute(0, 2, 3, 1) @ weight.T + bias
    torch.testing.assert_close(found["features"], by_hand.permute(0, 3, 1, 2))
    torch.testing.assert_close(found["cls_token"], plain["cls_token"] @ weight.T + bias)
    inner_pooled = inner.forward_pool(plain)["pooled_features"].flatten(1)
    torch.testing.assert_close(pooled.flatten(1), inner_pooled @ weight.T + bias)


def test_pooling_that_only_fits_the_inner_width_works(toy):
    class NormedPool(toy.Wrapper):
        def forward_pool(self, x):
            pooled = x["features"].mean(dim=(2, 3))
            return {
                "pooled_features": torch.nn.functional.layer_norm(pooled, (8,))[..., None, None]
            }

    wrapper = EmbeddingWrapper(NormedPool(), 3)
    assert probe(wrapper, 3, 16).feature_dim == 3


def test_it_is_a_wrapper_around_the_users_module(toy):
    inner = toy.Wrapper()
    wrapper = EmbeddingWrapper(inner, 3)
    assert isinstance(wrapper, ModelWrapper)
    assert wrapper.get_model() is inner.model
    assert wrapper.feature_dim() == 3


def test_features_alone_are_averaged(toy):
    features = torch.randn(2, 3, 4, 5)
    pooled = EmbeddingWrapper(toy.Wrapper(), 3).forward_pool({"features": features})
    torch.testing.assert_close(pooled["pooled_features"].flatten(1), features.flatten(2).mean(2))


def test_prefix_tokens_are_embedded(toy):
    class WithPrefix(toy.Wrapper):
        def forward_features(self, x):
            found = super().forward_features(x)
            return {**found, "prefix_tokens": found["features"].flatten(2)[..., :3].mT}

    wrapper = EmbeddingWrapper(WithPrefix().eval(), 3)
    images = torch.randn(2, 3, 8, 12)
    found = wrapper.forward_features(images)["prefix_tokens"]
    plain = wrapper.wrapper.forward_features(images)["prefix_tokens"]
    torch.testing.assert_close(found, linear(wrapper, plain))
    assert found.shape == (2, 3, 3)


# ------------------------------------------------------------------------- token models


@pytest.fixture
def tokens():
    return embed(TinyTokens(patch_size=8).eval(), 6)


def test_the_class_follows_the_capabilities(toy, tokens):
    assert type(tokens) is TokenEmbeddingWrapper
    assert require_capability(tokens, TokenModel, "this test") is tokens
    plain = embed(toy.Wrapper(), 3)
    assert type(plain) is EmbeddingWrapper
    assert not isinstance(plain, TokenModel)


def test_what_comes_in_is_as_wide_as_before(tokens):
    inner = tokens.wrapper
    assert tokens.token_dim() == inner.token_dim()
    assert tokens.patch_size() == 8
    assert tokens.num_prefix_tokens() == inner.num_prefix_tokens()
    assert tokens.token_grid(16, 24) == (2, 3)
    assert tokens.feature_dim() == 6


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kept", [False, True])
def test_all_tokens_go_through_the_same_linear_map(tokens, masked, kept):
    images = torch.randn(2, 3, 16, 24)
    options = {}
    if masked:
        mask_token = torch.randn(tokens.token_dim(), requires_grad=True)
        options |= {"mask": torch.rand(2, 6) < 0.5, "mask_token": mask_token}
    if kept:
        options["keep"] = torch.tensor([[0, 5], [3, 1]])
    found = tokens.forward_tokens(images, **options)
    plain = tokens.wrapper.forward_tokens(images, **options)
    assert found.keys() == plain.keys()
    for name, value in plain.items():
        torch.testing.assert_close(found[name], linear(tokens, value))
    if masked:
        found["prefix_tokens"].sum().backward()
        assert mask_token.grad.abs().sum() > 0


def test_intermediate_tokens_go_through_the_same_linear_map(tokens):
    images = torch.randn(2, 3, 16, 24)
    found = tokens.forward_intermediates(images, [0, -1], norm=False)
    plain = tokens.wrapper.forward_intermediates(images, [0, -1], norm=False)
    assert len(found) == 2
    for each, expected in zip(found, plain, strict=True):
        torch.testing.assert_close(each["patch_tokens"], linear(tokens, expected["patch_tokens"]))


@pytest.mark.parametrize("class_token", [False, True])
def test_tokens_and_features_agree(class_token):
    wrapper = embed(TinyTokens(class_token=class_token, patch_size=8).eval(), 6)
    images = torch.randn(2, 3, 16, 24)
    found = wrapper.forward_features(images)
    tokens = wrapper.forward_tokens(images)
    as_map = tokens["patch_tokens"].mT.reshape(2, 6, 2, 3)
    torch.testing.assert_close(found["features"], as_map)
    expected = wrapper.forward_pool(found)["pooled_features"]
    made_of_tokens = {"features": as_map}
    if class_token:
        torch.testing.assert_close(found["cls_token"], tokens["cls_token"])
        made_of_tokens["cls_token"] = tokens["cls_token"]
    pooled = wrapper.forward_pool(made_of_tokens)["pooled_features"]
    torch.testing.assert_close(pooled, expected)


def test_a_class_token_that_is_not_what_is_pooled():
    class Mean(TinyTokens):
        def forward_pool(self, x):
            return {"pooled_features": x["features"].mean((2, 3), keepdim=True)}

    wrapper = embed(Mean().eval(), 6)
    found = wrapper.forward_features(torch.randn(2, 3, 16, 24))
    expected = wrapper.forward_pool(found)["pooled_features"]
    del found["pooled_features"]
    torch.testing.assert_close(wrapper.forward_pool(found)["pooled_features"], expected)


def test_the_whole_token_model_is_trained(tokens):
    assert freeze_unused(tokens, 3, 16) == []


@parametrize_checks(
    wrapper_checks(lambda: embed(TinyTokens(patch_size=8), 6)),
    expected_failures={"W9": "the user's module has no part of the new layer"},
)
def test_an_embedded_token_model_holds_the_contract(check):
    check()
