import copy

import pytest
import torch
from torch import nn

from lightly_core.parts.heads import apply_to_views, mlp


def layout(head):
    return [type(layer).__name__ for layer in head]


def test_two_widths_are_one_linear_layer():
    assert layout(mlp([4, 3])) == ["Linear"]


def test_hidden_layers_are_linear_norm_activation():
    head = mlp([4, 5, 6, 3], norm="batch")
    block = ["Linear", "BatchNorm1d", "ReLU"]
    assert layout(head) == [*block, *block, "Linear"]
    assert [layer.out_features for layer in head if isinstance(layer, nn.Linear)] == [5, 6, 3]


@pytest.mark.parametrize(
    ("options", "biases"),
    [
        ({}, [True, True]),
        ({"norm": "layer", "activation": "gelu"}, [True, True]),
        ({"norm": "batch"}, [False, True]),
        ({"norm": "batch", "last_bias": False}, [False, False]),
        ({"norm": "batch", "last_norm": True}, [False, False]),
        ({"norm": "layer", "last_norm": True}, [True, True]),
    ],
)
def test_only_layers_in_front_of_a_batch_norm_lose_their_bias(options, biases):
    head = mlp([4, 5, 3], **options)
    assert [layer.bias is not None for layer in head if isinstance(layer, nn.Linear)] == biases


@pytest.mark.parametrize(("last_norm", "affine"), [(True, True), ("no_affine", False)])
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_the_last_norm_has_scale_and_shift_only_if_wanted(norm, last_norm, affine):
    last = mlp([4, 5, 3], norm=norm, last_norm=last_norm)[-1]
    assert (last.weight is not None) is affine
    assert (last.bias is not None) is affine


def test_output_of_a_last_batch_norm_has_mean_zero_and_variance_one():
    torch.manual_seed(0)
    output = mlp([4, 5, 3], norm="batch", last_norm="no_affine")(torch.randn(64, 4))
    assert output.shape == (64, 3)
    torch.testing.assert_close(output.mean(0), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(output.var(0, correction=0), torch.ones(3), atol=1e-2, rtol=0)


def test_gelu_replaces_relu():
    assert "GELU" in layout(mlp([4, 5, 3], activation="gelu"))


def test_normal_initialisation_has_the_deviation_asked_for():
    torch.manual_seed(0)
    linear = mlp([200, 100], init_std=0.02)[0]
    assert linear.weight.abs().max().item() <= 0.04
    # A normal cut at two deviations has 0.88 of its deviation.
    assert linear.weight.std().item() == pytest.approx(0.88 * 0.02, rel=0.03)
    assert not linear.bias.any()


def test_one_width_is_refused():
    with pytest.raises(ValueError, match="at least two dimensions"):
        mlp([4])


def test_a_last_norm_of_no_kind_is_refused():
    with pytest.raises(ValueError, match="needs norm='batch' or norm='layer'"):
        mlp([4, 3], last_norm=True)


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_views_at_once_give_what_single_calls_give(norm):
    once = mlp([4, 6, 6, 3], norm=norm).double()
    single = copy.deepcopy(once)
    views = [torch.randn(size, 4, dtype=torch.float64) * size for size in (5, 3)]
    found, expected = apply_to_views(once, views), [single(view) for view in views]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    for outputs in (found, expected):
        sum(output.pow(3).sum() for output in outputs).backward()
    for one, other in zip(once.parameters(), single.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    for one, other in zip(once.buffers(), single.buffers(), strict=True):
        torch.testing.assert_close(one, other)
