import torch

from lightly_core.models.embedding import EmbeddingWrapper
from lightly_core.models.probing import probe
from lightly_core.protocols import ModelWrapper


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
