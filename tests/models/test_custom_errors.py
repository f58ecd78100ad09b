"""`lightly_core.wrap`: modules and arguments that do not fit."""

import pytest
import torch
from plain_nets import ConvNet, Returns, Transformer
from torch import nn

from lightly_core import ConfigError, wrap


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 48)


def message_of(*arguments, **settings):
    with pytest.raises(ConfigError) as caught:
        wrap(*arguments, **settings)
    return str(caught.value)


def test_class_scores_are_refused_and_parts_are_offered_best_first():
    lines = message_of(ConvNet(), image_size=64).splitlines()
    assert lines[0].startswith("wrap: ConvNet gives (B, 5), which is neither a map (B, D, h, w)")
    assert lines[1] == "  these parts give features for images of 64 x 64 pixels:"
    assert lines[2:] == [
        '    features="behind"  (B, 8, 8, 8)',
        '    features="stages.0"  (B, 6, 16, 16)',
        '    features="stem"  (B, 4, 16, 16)',
    ]


def test_layers_deep_inside_are_not_offered():
    block = nn.Sequential(nn.Sequential(nn.Conv2d(3, 7, 1), nn.ReLU()), nn.Conv2d(7, 5, 1))
    model = nn.Sequential(nn.Sequential(block), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    text = message_of(model)
    assert 'features="0"' in text
    assert 'features="0.0.0"' not in text


@pytest.mark.parametrize(
    ("path", "near"),
    [("stage", "'stages'"), ("stages.3", "'stages.1'"), ("1.0", "'stages.1.0'"), ("", None)],
)
def test_an_unknown_part(path, near):
    if near is None:
        path, near = "backbone.", "known: stem, stages"
    text = message_of(ConvNet(), features=path)
    assert "ConvNet has no such part" in text
    assert near in text


def test_an_unknown_pooling():
    text = message_of(ConvNet(), features="stages", pool="average")
    assert "pool='average'" in text
    assert "did you mean 'avg'" in text
    assert "known: avg, max, cls, stem" in text


@pytest.mark.parametrize(
    ("pool", "text"),
    [
        ("classifier", r"pool='classifier' on a map \(B, 8, h, w\) fails: RuntimeError"),
        ("stages.0.1", r"pool='stages.0.1' .* fails"),
        (nn.Conv2d(8, 8, 4), "would be trained and then be missing"),
        (nn.Flatten(), r"gives 6272 numbers for each image\n  expected 8"),
        (lambda x: x.mean(), "fails"),
        ("cls", "takes the first prefix token, but 'stages' of ConvNet gives a map"),
    ],
)
def test_a_pooling_that_does_not_fit(pool, text):
    with pytest.raises(ConfigError, match=text):
        wrap(ConvNet(), features="stages", pool=pool)


def test_a_wrong_number_of_channels():
    text = message_of(ConvNet(), features="stages", num_input_channels=4)
    assert "ConvNet fails on images of 4 channels, 224 x 224 pixels: RuntimeError" in text
    assert "set num_input_channels=3" in text


def test_a_size_that_the_module_does_not_take():
    text = message_of(Transformer(size=(64, 64)), features="block")
    assert "set image_size to a size that it accepts" in text
    assert 'features="patches"  (B, 6, 28, 28)' in text


def test_a_part_that_does_not_run():
    text = message_of(ConvNet(), features="avgpool", image_size=64)
    assert "the forward pass of ConvNet does not call this part" in text
    assert 'features="behind"' in text


def test_several_maps_by_name():
    model = Returns(lambda fine, coarse, pooled: {"fine": fine, "coarse": coarse})
    text = message_of(model)
    assert "'fine' (B, 6, 56, 56), 'coarse' (B, 8, 28, 28)" in text
    assert 'features=":coarse"' in text
    assert "gives no tensor 'rough'" in message_of(model, features=":rough")


def test_an_output_without_tensors():
    text = message_of(Returns(lambda fine, coarse, pooled: "text"))
    assert "Returns gives no tensor, which is neither" in text
    assert 'features="body.stages.1"' in text


def test_pooled_features_are_no_map():
    text = message_of(Returns(lambda fine, coarse, pooled: pooled[:, :, None, None]))
    assert "gives (B, 8, 1, 1), which is neither" in text


def test_prefix_tokens_that_cannot_be():
    text = message_of(Transformer(num_prefix=2), features="block", num_prefix_tokens=3)
    assert "it looks like tokens (B, 2 + h * w, 6)" in text
    text = message_of(ConvNet(), features="stages", num_prefix_tokens=1)
    assert "is for tokens (B, T, D)" in text


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (ConvNet, r"got the class ConvNet.*\n.*ConvNet\(\.\.\.\)"),
        ("torchvision/resnet18", "models by name go to model="),
        (torch.relu, "expected a torch.nn.Module"),
    ],
)
def test_what_is_no_module(module, text):
    with pytest.raises(ConfigError, match=text):
        wrap(module)


def test_a_wrapper_is_returned_as_it_is(toy):
    wrapper = toy.Wrapper()
    assert wrap(wrapper) is wrapper
    assert "is a wrapper already" in message_of(wrapper, features="conv")
    assert "is a wrapper already" in message_of(wrapper, pool="max")


def test_a_module_that_gives_something_else_in_training(images):
    class Auxiliary(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return (self.conv(x), x) if self.training else self.conv(x)

    wrapper = wrap(Auxiliary())
    assert wrapper.eval().forward_features(images)["features"].shape[1] == 4
    with pytest.raises(ValueError, match="gives a tuple in training mode"):
        wrapper.train().forward_features(images)


def test_the_error_for_an_unknown_module_offers_wrap(catalog):
    from lightly_core.models.wrapping import build_model

    with pytest.raises(ConfigError, match=r'lightly_core\.wrap\(model, features="\.\.\."\)'):
        build_model(ConvNet(), catalog=catalog)
