"""Features and pooling of models of all kinds, against timm's own forward pass."""

import copy
import importlib.metadata

import pytest
import torch
from lazy_modules import LazyModule
from packaging.version import Version
from torch import nn

from lightly_core.contracts.capabilities import ActivationCheckpointing, TokenModel
from lightly_core.errors import ConfigError
from lightly_core.models.probing import probe

timm = LazyModule("timm")
timm_building = LazyModule("lightly_timm.building")
timm_wrapper = LazyModule("lightly_timm.wrapper")
timm_wrapping = LazyModule("lightly_timm.wrapping")
mvitv2 = LazyModule("timm.models.mvitv2")

SWIN = {"img_size": 64, "embed_dim": 16, "depths": (1, 1), "num_heads": (1, 2), "window_size": 4}
RELPOS = {"img_size": 64, "embed_dim": 24, "depth": 1, "num_heads": 2}
HIERA = {"embed_dim": 16, "num_heads": 1, "stages": (1, 1, 1, 1), "img_size": 64}


def since(version):
    """Leave out what older versions of timm, which are allowed, do not have."""
    installed = Version(importlib.metadata.version("timm"))
    return pytest.mark.skipif(installed < Version(version), reason=f"needs timm {version}")


def small(name, **arguments):
    """Build a model and a wrapper in evaluation mode, weights far from their initial values."""
    model = timm.create_model(name, **arguments).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model, timm_wrapping.wrap_timm(model).eval()


# ------------------------------------------------------------------------------------ layouts


@pytest.mark.families
@pytest.mark.parametrize(
    ("name", "arguments", "as_map"),
    [
        ("test_resnet", {}, lambda raw: raw),
        ("test_mambaout", {}, lambda raw: raw.permute(0, 3, 1, 2)),
        ("swin_tiny_patch4_window7_224", SWIN, lambda raw: raw.permute(0, 3, 1, 2)),
        (
            "vit_relpos_small_patch16_224",
            RELPOS,
            lambda raw: raw.transpose(1, 2).unflatten(2, (4, 4)),
        ),
        ("hiera_tiny_224", HIERA, lambda raw: raw.transpose(1, 2).unflatten(2, (2, 2))),
        pytest.param(
            "efficientvim_m1",
            {},
            lambda raw: raw[-1].unflatten(2, (1, 1)),
            marks=[pytest.mark.families, since("1.0.30")],
        ),
        pytest.param(
            "crossvit_tiny_240",
            {"depth": ((1, 1, 0),)},
            lambda raw: raw[1][:, 1:].transpose(1, 2).unflatten(2, (14, 14)),
            marks=pytest.mark.families,
        ),
    ],
)
def test_all_layouts_become_channels_first(name, arguments, as_map):
    model, wrapper = small(name, **arguments)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        found = wrapper.forward_features(images)["features"]
        expected = as_map(model.forward_features(images))
    assert torch.equal(found, expected)
    assert found.shape[1] == wrapper.feature_dim()


class Stem(nn.Module):
    """A convolution whose map is returned as `form` says."""

    def __init__(self, form):
        super().__init__()
        self.convolution = nn.Conv2d(3, 6, 8, stride=8)
        self.form = form

    def forward_features(self, x):
        return self.form(self.convolution(x))


@pytest.mark.parametrize(
    "form",
    [
        lambda found: found.flatten(2),
        lambda found: found.flatten(2).transpose(1, 2),
        lambda found: found.permute(0, 2, 3, 1),
        lambda found: [found[:, :2, ::2, ::2], {"last": found}],
    ],
    ids=["NCL", "tokens", "NHWC", "nested"],
)
def test_a_map_of_any_layout_is_found(form):
    module = Stem(form)
    images = torch.randn(2, 3, 64, 96)
    wrapper = timm_wrapping.wrap_timm(module)
    found = wrapper.forward_features(images)
    assert torch.equal(found["features"], module.convolution(images))
    pooled = wrapper.forward_pool(found)["pooled_features"]
    torch.testing.assert_close(pooled, found["features"].mean(dim=(2, 3), keepdim=True))


def test_positions_of_tokens_lie_where_they_do_in_the_image(create):
    wrapper = create("swin_tiny_patch4_window7_224", **SWIN).eval()
    images = torch.randn(1, 3, 64, 96, requires_grad=True)
    features = wrapper.forward_features(images)["features"]
    assert features.shape[2:] == (8, 12)
    features[0, :, 0, 11].sum().backward()
    touched = images.grad.abs().sum(dim=(0, 1)) > 0
    assert touched[0, 95]
    assert not touched[:, :48].any()


def test_a_map_beside_the_class_token_is_found():
    # What PiT's forward_features returns is the class token alone.
    model, wrapper = small("pit_ti_224", img_size=64, depth=(1, 1, 1))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        found = wrapper.forward_features(images)
        pooled = wrapper.forward_pool(found)["pooled_features"]
        own = model.forward_features(images)
        maps = model.forward_intermediates(images, indices=1, intermediates_only=True)
    assert torch.equal(found["features"], maps[-1])
    assert torch.equal(found["cls_token"], own[:, 0])
    assert torch.equal(pooled[:, :, 0, 0], model.forward_head(own, pre_logits=True))


def test_a_model_with_features_only_gives_its_last_map():
    model, wrapper = small("test_resnet", features_only=True)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        found = wrapper.forward_features(images)
        pooled = wrapper.forward_pool(found)["pooled_features"]
        assert torch.equal(found["features"], model(images)[-1])
    torch.testing.assert_close(pooled[:, :, 0, 0], found["features"].mean(dim=(2, 3)))


# ------------------------------------------------------------------------------------ pooling


@pytest.mark.families
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("test_resnet", {"global_pool": "catavgmax"}),
        ("test_resnet", {"global_pool": "max"}),
        ("test_efficientnet", {}),
        ("test_convnext", {}),
        ("test_nfnet", {}),
        ("swin_tiny_patch4_window7_224", SWIN),
        ("vit_relpos_small_patch16_224", RELPOS),
        ("hiera_tiny_224", HIERA),
        ("beit_base_patch16_224", {"img_size": 64, "embed_dim": 24, "depth": 1, "num_heads": 2}),
        ("cait_xxs24_224", {"img_size": 64, "embed_dim": 24, "depth": 1, "num_heads": 2}),
    ],
)
def test_pooling_is_the_models_own_where_that_keeps_the_width(name, arguments):
    model, wrapper = small(name, **arguments)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        pooled = wrapper.forward_pool(wrapper.forward_features(images))["pooled_features"]
        raw = model.forward_features(images)
        own = model.forward_head(raw, pre_logits=True)
    if own.shape[1] != wrapper.feature_dim():
        own = raw.mean(dim=(2, 3))
    assert pooled.shape == (2, wrapper.feature_dim(), 1, 1)
    assert torch.equal(pooled[:, :, 0, 0], own)


@pytest.mark.families
def test_hidden_layers_of_a_head_that_change_the_width_are_left_out():
    _, wrapper = small("mobilenetv3_small_050")
    features = torch.randn(2, wrapper.feature_dim(), 2, 3)
    pooled = wrapper.forward_pool({"features": features})["pooled_features"]
    assert wrapper.feature_dim() == 288
    torch.testing.assert_close(pooled[:, :, 0, 0], features.mean(dim=(2, 3)))


@pytest.mark.families
@pytest.mark.parametrize("name", ["test_efficientnet", "test_convnext", "test_vit"])
def test_dropout_of_the_head_does_not_act(name):
    _, wrapper = small(name, drop_rate=0.9)
    found = wrapper.forward_features(torch.randn(2, 3, 160, 160))
    expected = wrapper.forward_pool(found)["pooled_features"]
    wrapper.train()
    assert torch.equal(wrapper.forward_pool(found)["pooled_features"], expected)
    assert nn.functional.dropout(torch.ones(1000), 0.5).eq(0).any()


@pytest.mark.families
def test_patches_without_prefix_tokens_are_averaged():
    _, wrapper = small("test_vit")
    features = torch.randn(2, 64, 2, 3)
    pooled = wrapper.forward_pool({"features": features})["pooled_features"]
    torch.testing.assert_close(pooled[:, :, 0, 0], features.mean(dim=(2, 3)))
    token = torch.randn(2, 64)
    pooled = wrapper.forward_pool({"features": features, "cls_token": token})["pooled_features"]
    assert torch.equal(pooled[:, :, 0, 0], token)


# ------------------------------------------------------------------------------------ sizes


@pytest.mark.families
def test_patches_need_multiples_and_images_are_resized_to_them():
    _, wrapper = small("sam2_hiera_tiny", embed_dim=16, num_heads=1, stages=(1, 1, 1, 1))
    with torch.no_grad():
        assert wrapper.forward_features(torch.zeros(1, 3, 75, 120))["features"].shape[2:] == (2, 4)


@pytest.mark.families
def test_windows_need_multiples_and_say_which():
    arguments = {"embed_dim": (32, 32, 32, 32), "depths": (1, 1, 1, 1), "stem_width": 8}
    _, wrapper = small("maxvit_nano_rw_256", img_size=64, **arguments)
    with torch.no_grad():
        assert wrapper.forward_features(torch.zeros(1, 3, 64, 128))["features"].shape[2:] == (2, 4)
    with pytest.raises(ValueError, match=r"multiples of 64 x 64.*image_size.*model_args.img_size"):
        wrapper.forward_features(torch.zeros(1, 3, 96, 96))


def test_a_model_of_one_size_says_which(create):
    wrapper = create("beit_base_patch16_224", img_size=[32, 48], embed_dim=24, depth=1, num_heads=2)
    assert probe(wrapper, 3, (32, 48)).feature_size == (2, 3)
    message = r"Beit as built here takes images of 32 x 48 pixels, got 48 x 32.*\[32, 48\]"
    with pytest.raises(ValueError, match=message):
        wrapper.forward_features(torch.zeros(1, 3, 48, 32))


@pytest.mark.families
def test_the_size_that_was_asked_for_is_taken(create):
    # LeViT keeps no image size; its attention biases fit several sizes by chance.
    wrapper = create("levit_128s", img_size=192)
    assert probe(wrapper, 3, 192).feature_size == (3, 3)


def test_a_model_that_fails_at_the_size_that_was_asked_for_says_so():
    class Large(Stem):
        def forward_features(self, x):
            assert x.shape[2] > 64, "too small"
            return self.convolution(x)

    message = r"Large fails on images of 3 channels, at 64 x 64 .*too small\n.*model_args\.img_size"
    with pytest.raises(ConfigError, match=message):
        timm_wrapping.wrap_timm(Large(None), image_size=(64, 64))


@pytest.mark.families
def test_tables_that_are_too_small_for_larger_images_are_noticed():
    strides = ((1, 1), (2, 2))
    anatomy = mvitv2.MultiScaleVitCfg(depths=(1, 1), embed_dim=8, num_heads=1, stride_q=strides)
    wrapper = timm_wrapping.wrap_timm(mvitv2.MultiScaleVit(anatomy, img_size=64))
    with pytest.raises(ValueError, match="takes images of 64 x 64 pixels"):
        wrapper.forward_features(torch.zeros(1, 3, 96, 96))


@pytest.mark.parametrize(("side", "expected"), [(1, 14), (20, 14), (21, 28), (28, 28), (35, 42)])
def test_nearest_multiple(side, expected):
    assert timm_wrapper.nearest_multiple(side, 14) == expected


# ------------------------------------------------------------------------- what is left alone


@pytest.mark.parametrize(
    "name", ["test_resnet", pytest.param("levit_128s", marks=pytest.mark.families)]
)
def test_looking_changes_nothing_in_the_model(name):
    model = timm.create_model(name).train()
    first = next(module for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    first.eval()
    seen = []
    first.register_forward_hook(lambda *_: seen.append(1))
    state, random_state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    attributes = [copy.copy(vars(module)) for module in model.modules()]
    timm_wrapping.wrap_timm(model)
    torch.testing.assert_close(model.state_dict(), state)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert [vars(module).keys() for module in model.modules()] == [a.keys() for a in attributes]
    assert model.training
    assert not first.training
    assert not seen


def test_a_model_that_does_not_run_without_numbers_is_run_with_them():
    model = timm.create_model("test_resnet")
    model.table = torch.ones(1)  # Neither parameter nor buffer: it stays where it is.
    model.bn1.register_forward_pre_hook(lambda *_: None)
    original = type(model).forward_features
    Own = type("Own", (type(model),), {"forward_features": lambda s, x: original(s, x) * s.table})
    model.__class__ = Own
    assert timm_wrapping.wrap_timm(model).feature_dim() == 96


# ------------------------------------------------------------------------------- checkpointing


@pytest.mark.families
def test_activation_checkpointing_is_offered_where_timm_supports_it():
    model, wrapper = small("test_convnext")
    assert isinstance(wrapper, ActivationCheckpointing)
    images = torch.randn(2, 3, 64, 64)
    calls = []
    model.stages[3].blocks[0].register_forward_pre_hook(lambda *_: calls.append(1))
    gradients = []
    for enabled in (False, True):
        wrapper.set_activation_checkpointing(enabled)
        model.zero_grad()
        wrapper.forward_features(images)["features"].square().sum().backward()
        gradients.append([p.grad for p in model.stages.parameters()])
    assert len(calls) == 3
    torch.testing.assert_close(gradients[1], gradients[0])
    with pytest.raises(ConfigError, match="got every_n_blocks=2"):
        wrapper.set_activation_checkpointing(True, 2)


@pytest.mark.families
@pytest.mark.parametrize("name", ["selecsls42", "dla46x_c"])
def test_activation_checkpointing_is_not_offered_where_timm_refuses_it(name):
    assert not isinstance(timm_wrapping.wrap_timm(timm.create_model(name)), ActivationCheckpointing)


# ------------------------------------------------------------------------------------ refusals


@pytest.mark.slow
def test_models_without_features_say_what_to_do():
    class Vector(nn.Module):
        def forward(self, x):
            return x.mean(dim=(2, 3))

    with pytest.raises(ConfigError, match=r"no feature map found in Vector(?s:.*)write a wrapper"):
        timm_wrapper.TimmWrapper(Vector())
    message = r"Conv2d fails on images of 3 channels, at 224 x 224(?s:.*)write a wrapper"
    with pytest.raises(ConfigError, match=message):
        timm_wrapper.TimmWrapper(nn.Conv2d(4, 5, 3))


def test_random_gaps_are_refused_for_other_models_too():
    model = timm.create_model("vit_relpos_small_patch16_224", **RELPOS)
    model.patch_drop = timm.layers.PatchDropout(0.25)
    with pytest.raises(ConfigError, match="drops 25% of the patches"):
        timm_wrapping.wrap_timm(model)


# ---------------------------------------------------- models that fail in other frameworks


@pytest.mark.families
@pytest.mark.parametrize(
    "name",
    [
        "mobilenetv2_035",
        "mnasnet_small",
        "ghostnet_050",
        "repghostnet_050",
        "rexnet_100",
        "tinynet_e",
        "fastvit_t8",
    ],
)
def test_features_are_as_wide_as_they_say(name):
    wrapper = timm_wrapping.wrap_timm(timm_building.build(name, 3, {}, without_memory=True)[0])
    found = probe(wrapper, 3, (64, 128))
    with torch.no_grad():
        own = wrapper.model.eval().forward_features(torch.zeros(1, 3, 64, 64, device="meta")).shape
    assert found.feature_dim == max(own[1], own[3])
    assert found.feature_size[1] >= 2 * found.feature_size[0]
    assert not isinstance(wrapper, TokenModel)


@pytest.mark.families
def test_the_normalisation_is_that_of_the_weights(create):
    assert create("test_vit").input_normalization() == ((0.5,) * 3, (0.5,) * 3)
    mean, std = create("resnet18", channels=1).input_normalization()
    assert (mean, std) == ((0.485,), (0.229,))


def test_a_class_token_alone_is_enough_for_pooling(create):
    wrapper = create("vit_small_patch14_reg4_dinov2", depth=1, embed_dim=32, num_heads=2)
    found = wrapper.eval().forward_features(torch.randn(2, 3, 56, 56))
    expected = wrapper.forward_pool(found)["pooled_features"]
    del found["prefix_tokens"]
    assert torch.equal(wrapper.forward_pool(found)["pooled_features"], expected)
