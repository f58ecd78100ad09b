import pytest
import torch
from lazy_modules import LazyModule
from torch import nn

from lightly_core.errors import ConfigError

timm = LazyModule("timm")
published = LazyModule("lightly_timm.published")


@pytest.fixture
def tiny():
    def tiny(**arguments):
        return published.build(
            "vit_tiny_patch16_224",
            timm.models.VisionTransformer,
            fixed={"num_classes": 0},
            arguments={"embed_dim": 16, "depth": 2, "num_heads": 2, **arguments},
            model="acme/tiny",
        )

    return tiny


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_a_grey_image_gives_what_it_gave_before(channels):
    weight = torch.randn(5, 3, 2, 2)
    grey = torch.randn(2, 1, 6, 6)
    adapted = published.adapt_channels(weight, channels)
    assert adapted.shape == (5, channels, 2, 2)
    torch.testing.assert_close(
        nn.functional.conv2d(grey.expand(-1, channels, -1, -1), adapted),
        nn.functional.conv2d(grey.expand(-1, 3, -1, -1), weight),
    )


def test_only_a_weight_of_another_number_of_channels_is_adapted(tiny):
    module = tiny(in_chans=2)
    same = {"patch_embed.proj.weight": torch.randn(16, 2, 16, 16)}
    published.fit_input_channels(found := dict(same), module)
    assert found["patch_embed.proj.weight"] is same["patch_embed.proj.weight"]
    published.fit_input_channels(
        found := {"patch_embed.proj.weight": torch.randn(16, 3, 16, 16)}, module
    )
    assert found["patch_embed.proj.weight"].shape == (16, 2, 16, 16)
    published.fit_input_channels(found := {}, module)
    assert found == {}


def test_the_teachers_backbone_comes_first():
    numbers = {
        "student.backbone.a": torch.zeros(1),
        "teacher.backbone.a": torch.ones(1),
        "teacher.head.a": torch.zeros(1),
    }
    assert published.backbone_tensors(numbers) == {"a": torch.ones(1)}
    assert published.backbone_tensors({"a": torch.ones(1)}) == {"a": torch.ones(1)}


def test_all_tensors_are_loaded_or_none(tiny):
    module, source = tiny(), tiny()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    tensors = dict(source.state_dict())
    del tensors["norm.bias"]
    tensors["cls_token"] = torch.ones(1, 1, 8)
    tensors["other"] = torch.ones(2)
    with pytest.raises(ConfigError) as raised:
        published.load_complete(module, tensors, file="a.pth", model="acme/tiny", reason="because")
    assert str(raised.value).splitlines() == [
        f"a.pth does not fit acme/tiny: {len(before) - 2} of its {len(before)} tensors match",
        "  1 missing in the file: norm.bias",
        "  1 unexpected: other",
        "  1 of another shape: cls_token (1, 1, 8) instead of (1, 1, 16)",
        "  because",
    ]
    torch.testing.assert_close(dict(module.state_dict()), before)
    published.load_complete(module, source.state_dict(), file="a.pth", model="acme/tiny")
    torch.testing.assert_close(module.state_dict(), source.state_dict())


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (
            {"embed_dim": 32},
            "this file is of a acme/big (dimension 32), acme/tiny has dimension 16",
        ),
        ({"embed_dim": 24}, "this file is of dimension 24, acme/tiny has dimension 16"),
        ({"depth": 3}, "this file has 3 blocks, acme/tiny has 2"),
        ({"reg_tokens": 1}, "this file has 1 registers, acme/tiny has 0"),
        ({}, None),
    ],
)
def test_the_difference_between_two_transformers_is_named(tiny, other, reason):
    tensors = tiny(**other).state_dict()
    found = published.transformer_reason(
        tensors, tiny(), model="acme/tiny", widths={32: "acme/big"}
    )
    assert found == reason


def test_arguments_are_checked_before_anything_is_built(tiny):
    with pytest.raises(ConfigError, match=r"unknown model_args of acme/tiny: depht, did you mean "
                       r"'depth'\?\n  it takes .*weights"):  # fmt: skip
        tiny(depht=3)
    with pytest.raises(ConfigError, match="num_classes is fixed"):
        tiny(num_classes=3)
    with pytest.raises(ConfigError, match=r"acme/tiny refuses model_args .*'embed_dim': 15"):
        tiny(embed_dim=15)


def test_weights_are_a_path_or_an_address(tmp_path):
    assert published.split_arguments({"depth": 2}) == ({"depth": 2}, None)
    assert published.split_arguments({"weights": tmp_path, "depth": 2}) == (
        {"depth": 2},
        str(tmp_path),
    )
    for wrong in (3, True, ""):
        with pytest.raises(ConfigError, match=r"model_args\.weights: expected the path or URL"):
            published.split_arguments({"weights": wrong})


def test_rates_change_no_tensor():
    assert published.same_tensors({"drop_path_rate": 0.1, "attn_drop_rate": 0.1})
    assert not published.same_tensors({"depth": 2})
