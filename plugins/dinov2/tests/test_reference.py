"""Outputs against the plain computation in `conftest.forward`."""

import pytest
import torch
from circles import mark_others

VARIANTS = {
    "vits14": {"registers": 4, "gated": False},
    "vits14-noreg": {"registers": 0, "gated": False},
    "vitg14": {"registers": 4, "gated": True},
    "vitg14-noreg": {"registers": 0, "gated": True},
}
SIZES = [(70, 70), (98, 98), (42, 42), (42, 112), (70, 14)]


#: The two that are most unlike each other; the others are families.
FIRST = ("vits14", "vitg14-noreg")


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", mark_others(pytest.mark.families, VARIANTS, *FIRST))
def test_tokens_are_those_of_the_published_model(create, tiny_weights, reference, name):
    tensors = tiny_weights(**VARIANTS[name])
    wrapper = create(name, tensors).eval()
    for size in SIZES:
        images = torch.randn(2, 3, *size)
        compare(wrapper, images, reference(tensors, images, heads=2))


def compare(wrapper, images, expected):
    token, registers, patches = expected
    with torch.no_grad():
        found = wrapper.forward_features(images)
        tokens = wrapper.forward_tokens(images)
        pooled = wrapper.forward_pool(found)["pooled_features"]
    close(found["cls_token"], token)
    close(pooled[:, :, 0, 0], token)
    close(found["features"].flatten(2).transpose(1, 2), patches)
    close(tokens["patch_tokens"], patches)
    close(tokens["prefix_tokens"], torch.cat([token[:, None], registers], dim=1))
    assert patches.std() > 0.1  # Not merely two outputs of nothing.


@pytest.mark.parametrize("name", ["vits14", "vits14-noreg"])
def test_the_grid_of_the_published_files_serves_usual_images(create, tiny_weights, reference, name):
    tensors = tiny_weights(**VARIANTS[name], grid=37)
    wrapper = create(name, tensors, img_size=518).eval()
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        found = wrapper.forward_features(images)
    token, _, patches = reference(tensors, images, heads=2)
    close(found["cls_token"], token)
    close(found["features"].flatten(2).transpose(1, 2), patches)


@pytest.mark.parametrize("name", ["vits14", "vits14-noreg"])
def test_positions_are_interpolated_on_load_for_another_native_size(
    create, tiny_weights, reference, name
):
    tensors = tiny_weights(**VARIANTS[name], grid=9)
    wrapper = create(name, tensors, img_size=70).eval()
    assert wrapper.model.pos_embed.shape[1] == 25 + name.endswith("noreg")
    images = torch.randn(1, 3, 70, 70)
    with torch.no_grad():
        found = wrapper.forward_features(images)
    token, _, patches = reference(tensors, images, heads=2)
    close(found["cls_token"], token)
    close(found["features"].flatten(2).transpose(1, 2), patches)


def test_the_two_ways_to_interpolate_differ(create, tiny_weights, reference):
    tensors = tiny_weights(registers=0)
    images = torch.randn(1, 3, 98, 98)
    token, _, _ = reference(tensors, images, heads=2)
    twin = {**tensors, "register_tokens": torch.zeros(1, 0, 48)}  # the other way, no register
    assert (reference(twin, images, heads=2)[0] - token).abs().max() > 1e-3


def test_other_sizes_are_brought_to_a_multiple_of_the_patch(create, tiny_weights, reference):
    tensors = tiny_weights()
    wrapper = create("vits14", tensors).eval()
    images = torch.randn(1, 3, 64, 90)
    with torch.no_grad():
        found = wrapper.forward_features(images)
    resized = torch.nn.functional.interpolate(
        images, size=(70, 84), mode="bilinear", antialias=True
    )
    close(found["cls_token"], reference(tensors, resized, heads=2)[0])
    assert found["features"].shape == (1, 48, 5, 6)


def test_masked_patches_are_replaced_before_positions_are_added(create, tiny_weights, reference):
    tensors = tiny_weights()
    wrapper = create("vits14", tensors).eval()
    images = torch.randn(2, 3, 70, 70)
    mask = torch.rand(2, 25) < 0.5
    mask_token = torch.randn(48)
    with torch.no_grad():
        found = wrapper.forward_tokens(images, mask=mask, mask_token=mask_token)
    # A patch of pixels whose embedding is the mask token, found by solving the projection.
    weight = tensors["patch_embed.proj.weight"].flatten(1)
    pixels = torch.linalg.pinv(weight) @ (mask_token - tensors["patch_embed.proj.bias"])
    patch = pixels.reshape(3, 14, 14)
    masked = images.clone()
    for image, index in mask.nonzero().tolist():
        row, column = divmod(index, 5)
        masked[image, :, 14 * row : 14 * row + 14, 14 * column : 14 * column + 14] = patch
    close(found["patch_tokens"], reference(tensors, masked, heads=2)[2])
