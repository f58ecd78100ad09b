"""Maps and tokens are told by shapes alone."""

import itertools

import pytest
import torch

from lightly_core.models.layouts import Layout, find_layout, token_grid

SIZES = [(224, 224), (288, 352)]


@pytest.mark.parametrize(
    ("shapes", "kind"),
    [
        ([(2, 8, 7, 7), (2, 8, 9, 11)], "channels first"),
        ([(2, 7, 7, 8), (2, 9, 11, 8)], "channels last"),
        ([(2, 7, 7, 7), (2, 7, 9, 11)], "channels first"),  # width and grid agree by chance
        ([(2, 7, 7, 7), (2, 9, 11, 7)], "channels last"),
        ([(2, 8, 7, 7)], "channels first"),
        ([(2, 7, 7, 8)], "channels last"),
        ([(2, 7, 7, 7)], "channels first"),
        ([(2, 49, 8), (2, 99, 8)], "tokens"),
        ([(2, 50, 8)], "tokens"),
    ],
)
def test_the_axes_that_grow_are_height_and_width(shapes, kind):
    found = find_layout(shapes, SIZES)
    assert (found.kind, found.dim) == (kind, 7 if shapes[0] == (2, 7, 7, 7) else 8)


@pytest.mark.parametrize(
    "shapes",
    [
        [(2, 10), (2, 10)],  # class scores
        [(2, 10)],
        [(2, 8, 1, 1), (2, 8, 1, 1)],  # pooled
        [(2, 8, 1, 1)],
        [(2, 8, 7, 7), (2, 8, 7, 7)],  # pooled to a grid
        [(2, 49, 49), (2, 99, 99)],  # attention
        [(3, 8, 7, 7), (3, 8, 9, 11)],  # another first axis than images
        [(2, 8, 7, 7), (2, 8)],
        [(2, 50, 8), (2, 50, 8)],  # tokens that do not depend on the image
        [(2,), (2,)],
    ],
)
def test_all_else_is_neither(shapes):
    assert find_layout(shapes, SIZES) is None


@pytest.mark.parametrize("sizes", [SIZES, [(224, 224), (448, 672)], [(160, 224), (224, 352)]])
def test_prefix_tokens_and_stride_are_found(sizes):
    wrong = []
    for prefix, stride in itertools.product([0, 1, 2, 5], [8, 14, 16, 32]):
        shapes = [(2, prefix + (h // stride) * (w // stride), 8) for h, w in sizes]
        found = find_layout(shapes, sizes)
        if found is None or (found.num_prefix_tokens, found.stride) != (prefix, stride):
            wrong.append((prefix, stride, found))
    assert wrong == []


def test_padded_patches_are_found():
    shapes = [(2, 1 + -(-h // 15) * -(-w // 15), 8) for h, w in SIZES]
    found = find_layout(shapes, SIZES)
    assert (found.num_prefix_tokens, found.stride) == (1, 15)
    assert token_grid(3 * 4, (31, 46), 15) == (3, 4)


def test_a_number_of_prefix_tokens_that_is_given_is_taken():
    # 9 tokens of a 32-pixel image: a grid of 3 x 3, or 2 x 2 behind 5 prefix tokens.
    assert find_layout([(2, 9, 8)], [(32, 32)]).num_prefix_tokens == 0
    assert find_layout([(2, 9, 8)], [(32, 32)], 5).num_prefix_tokens == 5
    assert find_layout([(2, 9, 8)], [(32, 32)], 6) is None


def test_a_count_that_is_no_grid_is_refused():
    with pytest.raises(ValueError, match=r"7 tokens .* 32 x 48 pixels .* multiples of 16"):
        token_grid(7, (32, 48), 16)


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        (Layout("channels first", 4), (2, 4, 2, 3)),
        (Layout("channels last", 4), (2, 2, 3, 4)),
        (Layout("tokens", 4, 2, 8), (2, 8, 4)),
        (Layout("tokens", 4, 0, 8), (2, 6, 4)),
    ],
)
def test_to_a_map_and_back(layout, shape):
    found = torch.randn(shape)
    features, prefix = layout.to_map(found, (16, 24))
    assert features.shape == (2, 4, 2, 3)
    assert (prefix is None) == (not layout.num_prefix_tokens)
    assert torch.equal(layout.from_map(features, prefix), found)


def test_tokens_are_read_row_by_row():
    tokens = torch.arange(7.0).reshape(1, 7, 1)
    features, prefix = Layout("tokens", 1, 1, 8).to_map(tokens, (16, 24))
    assert prefix.tolist() == [[[0.0]]]
    assert features.tolist() == [[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]]


def test_another_layout_than_was_found_is_refused():
    with pytest.raises(ValueError, match=r"expected a map \(B, 4, h, w\), got \(2, 6, 4\)"):
        Layout("channels first", 4).to_map(torch.zeros(2, 6, 4), (16, 24))
