"""What graphs and comparisons of exported networks compute, for each part."""

from types import SimpleNamespace

import pytest
import torch
from short_run import TinyWrapper
from torch import nn

from lightly_core.contracts.outputs import outputs_of, tensors_in


class TwoOutputs(nn.Module):
    def forward(self, x):
        return {"a": x.mean(), "b": [x.amax(dim=1), "no tensor"]}


@pytest.mark.parametrize(
    ("part", "names"),
    [("wrapped_model", ("features", "pooled_features")), ("embedding_model", ("embedding",))],
)
def test_features_are_those_of_the_wrapper_with_a_vector_for_each_image(part, names):
    torch.manual_seed(0)
    wrapper = TinyWrapper(dropout=0.5).train()
    outputs = outputs_of(SimpleNamespace(part=part, module=wrapper))
    images = torch.randn(3, 3, 16, 20)
    found = dict(zip(outputs.names, outputs(images), strict=True))
    features = wrapper.eval().body(images)
    expected = {"features": features, "pooled_features": features.mean((2, 3))}
    expected["embedding"] = expected["pooled_features"]
    assert tuple(found) == names
    for name in names:
        torch.testing.assert_close(found[name], expected[name])


def test_a_module_has_all_tensors_that_it_returns_in_order():
    outputs = outputs_of(SimpleNamespace(part="model", module=TwoOutputs()))
    images = torch.randn(2, 3, 4, 4)
    mean, largest = outputs(images)
    assert torch.equal(mean, images.mean())
    assert torch.equal(largest, images.amax(dim=1))
    assert outputs.names == ()


def test_tensors_are_found_in_nested_values_only():
    one, two, three = torch.zeros(3)
    found = tensors_in({"a": [one, (two, None, "x")], "b": {"c": three}, "d": 4.0})
    assert [tensor is expected for tensor, expected in zip(found, (one, two, three), strict=True)]
