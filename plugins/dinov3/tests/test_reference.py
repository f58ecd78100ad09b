"""Outputs against the plain computations in `conftest.py`."""

import pytest
import torch
from circles import mark_others

TRANSFORMERS = {
    "vits16": {"gated": False},
    "vits16plus": {"gated": True},
    "vith16plus": {"gated": True},
    "vitt16": {"gated": False},
    "vitt16plus": {"gated": True},
}
SIZES = [(64, 64), (96, 96), (32, 80), (48, 16)]


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def compare(wrapper, images, expected):
    token, registers, patches = expected
    wrapper.eval()
    with torch.no_grad():
        found = wrapper.forward_features(images)
        tokens = wrapper.forward_tokens(images)
    close(found["cls_token"], token)
    close(found["features"].flatten(2).mT, patches)
    close(wrapper.forward_pool(found)["pooled_features"][:, :, 0, 0], token)
    close(tokens["patch_tokens"], patches)
    close(tokens["prefix_tokens"], torch.cat([token[:, None], registers], dim=1))
    assert patches.std() > 0.1  # Not merely two outputs of nothing.


@pytest.mark.parametrize(
    "name", mark_others(pytest.mark.families, TRANSFORMERS, "vits16", "vits16plus")
)
def test_tokens_are_those_of_the_published_model(create, tiny_transformer, references, name):
    tensors = tiny_transformer(**TRANSFORMERS[name])
    wrapper = create(name, tensors)
    for size in SIZES:
        images = torch.randn(2, 3, *size)
        compare(wrapper, images, references["transformer"](tensors, images, heads=2))


def test_tokens_of_the_largest_model_which_has_no_biases(create, tiny_transformer, references):
    tensors = tiny_transformer(gated=True, biased=False)
    images = torch.randn(2, 3, 64, 48)
    # The hidden width of 128 is 4 times the tokens'; in the large model it is twice.
    wrapper = create("vit7b16", tensors, mlp_ratio=4)
    compare(wrapper, images, references["transformer"](tensors, images, heads=2))


def test_a_mask_that_is_zero_everywhere_takes_all_biases_away(create, tiny_transformer, references):
    tensors = tiny_transformer()
    for name, tensor in tensors.items():
        if name.endswith("bias_mask"):
            tensor.zero_()
    images = torch.randn(2, 3, 64, 64)
    wrapper = create("vits16", tensors)
    compare(wrapper, images, references["transformer"](tensors, images, heads=2))
    assert not any(block.attn.v_bias.any() for block in wrapper.model.blocks)


@pytest.mark.parametrize("periods", ["published", "exact"])
def test_the_periods_of_the_file_are_used(create, tiny_transformer, periods):
    tensors = tiny_transformer(periods=periods)
    found = create("vits16", tensors).model.rope.periods
    assert torch.equal(found, tensors["rope_embed.periods"])


def test_periods_are_rounded_as_in_the_published_files(library):
    periods = library.create("vitt16", num_input_channels=3, model_args={"depth": 1})
    # As in Meta's files for heads of dimension 64.
    expected = [1.0, 1.3359375, 1.78125, 2.375, 3.15625, 4.21875, 5.625, 7.5]
    expected += [10.0, 13.3125, 17.75, 23.75, 31.625, 42.25, 56.25, 75.0]
    assert periods.model.rope.periods.tolist() == expected


@pytest.mark.parametrize(
    "name", mark_others(pytest.mark.families, ["convnext-tiny", "convnext-base"], "convnext-tiny")
)
def test_convnexts_are_those_of_the_published_model(create, tiny_convnext, references, name):
    tensors = tiny_convnext()
    wrapper = create(name, tensors).eval()
    for size in ((64, 64), (96, 96), (64, 128)):
        images = torch.randn(2, 3, *size)
        compare_convnext(wrapper, images, references["convnext"](tensors, images))


def compare_convnext(wrapper, images, expected):
    token, patches = expected
    with torch.no_grad():
        found = wrapper.forward_features(images)
        pooled = wrapper.forward_pool(found)["pooled_features"]
        module_output = wrapper.get_model()(images)
    close(found["features"].flatten(2).mT, patches)
    close(found["cls_token"], token)
    close(pooled[:, :, 0, 0], token)
    close(module_output, token)
    assert patches.std() > 0.1


def test_other_sizes_are_brought_to_a_multiple_of_the_patch(create, tiny_transformer, references):
    tensors = tiny_transformer()
    images = torch.randn(1, 3, 50, 70)
    resized = torch.nn.functional.interpolate(
        images, size=(48, 64), mode="bilinear", antialias=True
    )
    wrapper = create("vits16", tensors)
    compare(wrapper, images, references["transformer"](tensors, resized, heads=2))
