"""The tiny backbones compute what they say."""

import pytest
import torch
import torch.nn.functional as F

from lightly_core.contracts.capabilities import (
    ActivationCheckpointing,
    MultiScaleFeatures,
    TokenModel,
)
from lightly_core.testing import TinyConv, TinyTokens


@pytest.mark.parametrize("wrapper", [TinyConv, TinyTokens])
def test_the_backbones_are_tiny(wrapper):
    assert sum(parameter.numel() for parameter in wrapper().parameters()) < 10_000


def slow_tokens(wrapper, image, keep, masked, mask_token):
    """One image, patch by patch, with attention as two loops."""
    model, side = wrapper._model, wrapper.patch_size()
    rows, columns = (length // side for length in image.shape[1:])
    positions = F.interpolate(model.positions, size=(rows, columns), mode="bilinear")[0]
    sequence = list(model.prefix[0])
    for index in keep:
        row, column = divmod(index, columns)
        pixels = image[:, row * side : (row + 1) * side, column * side : (column + 1) * side]
        weight = model.patch_embedding.weight.flatten(1)
        embedded = weight @ pixels.flatten() + model.patch_embedding.bias
        if index in masked:
            embedded = mask_token
        sequence.append(embedded + positions[:, row, column])
    for block in model.blocks:
        mixed = slow_attention(block, sequence)
        sequence = [x + part for x, part in zip(sequence, mixed, strict=True)]
        sequence = [x + block.mlp(block.norm2(x)) for x in sequence]
    return torch.stack([model.norm(x) for x in sequence])


def slow_attention(block, sequence):
    mixed = []
    parts = [block.qkv(block.norm1(x)).chunk(3) for x in sequence]
    for query, _, _ in parts:
        heads = []
        for start in range(0, len(query), block.head_dim):
            head = slice(start, start + block.head_dim)
            scores = torch.stack([query[head] @ key[head] for _, key, _ in parts])
            shares = (scores / block.head_dim**0.5).softmax(dim=0)
            values = [value[head] for _, _, value in parts]
            heads.append(sum(s * value for s, value in zip(shares, values, strict=True)))
        mixed.append(block.project(torch.cat(heads)))
    return mixed


def test_tokens_equal_the_slow_form():
    wrapper, images = TinyTokens(), torch.randn(2, 3, 16, 24)
    keep = [[5, 0, 3], [1, 2, 4]]
    masked = [[0, 1], [4]]
    mask = torch.tensor([[index in row for index in range(6)] for row in masked])
    mask_token = torch.randn(16)
    found = wrapper.forward_tokens(
        images, mask=mask, mask_token=mask_token, keep=torch.tensor(keep)
    )
    for image in range(2):
        expected = slow_tokens(wrapper, images[image], keep[image], masked[image], mask_token)
        torch.testing.assert_close(found["prefix_tokens"][image], expected[:2])
        torch.testing.assert_close(found["cls_token"][image], expected[0])
        torch.testing.assert_close(found["patch_tokens"][image], expected[2:])


def test_a_mask_without_token_and_an_image_without_patch_are_refused():
    with pytest.raises(ValueError, match="needs a mask_token"):
        TinyTokens().forward_tokens(torch.zeros(1, 3, 16, 16), mask=torch.ones(1, 4, dtype=bool))
    with pytest.raises(ValueError, match="smaller than a patch of 8 pixels"):
        TinyTokens().forward_features(torch.zeros(1, 3, 7, 16))


def test_tiny_conv_has_no_capability():
    wrapper = TinyConv()
    for capability in (TokenModel, MultiScaleFeatures, ActivationCheckpointing):
        assert not isinstance(wrapper, capability)
