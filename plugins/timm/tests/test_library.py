import sys

import pytest
import torch
from lazy_modules import LazyModule
from torch import nn

from lightly_core.errors import ConfigError, UnknownModelError
from lightly_core.exporting.files import export_model, snippet
from lightly_core.exporting.weights import load_weights
from lightly_core.models.wrapping import build_model, get_wrapped_model
from lightly_core.parts.sync_batch_norm import synchronise
from lightly_core.plugins.discovery import get_plugins
from lightly_timm.wrapper import supports_checkpointing

timm = LazyModule("timm")
timm_weights = LazyModule("lightly_timm.weights")
timm_wrapper = LazyModule("lightly_timm.wrapper")


def built_model(model, channels=3, **model_args):
    return build_model(
        model,
        catalog=get_plugins().catalog,
        num_input_channels=channels,
        model_args=model_args or None,
    )


# ------------------------------------------------------------------------------------- names


def test_a_name_gives_the_weights_that_timm_gives():
    wrapper = get_wrapped_model("timm/test_resnet")
    torch.manual_seed(0)
    torch.testing.assert_close(
        wrapper.get_model().state_dict(), timm.create_model("test_resnet").state_dict()
    )


@pytest.mark.families
@pytest.mark.parametrize("name", ["test_vit", "test_vit.r160_in1k", "test_resnet"])
def test_a_seed_gives_the_same_weights_with_and_without_us(name, create):
    torch.manual_seed(3)
    wrapper = create(name)
    torch.manual_seed(3)
    own = timm.create_model(name)
    torch.testing.assert_close(wrapper.get_model().state_dict(), own.state_dict())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet81", r"no model 'resnet81'\n  did you mean (?s:.*)resnet18"),
        ("ResNet18", "did you mean (?s:.*)resnet18"),
        ("resnet18.a1_in1", r"no weights 'a1_in1' of resnet18\n  did you mean 'resnet18.a1_in1k'"),
        ("hf-hub:timm/resnet18", "Hugging Face Hub (?s:.*)model_args.weights"),
        ("local-dir:/somewhere", "folders (?s:.*)model_args.weights"),
    ],
)
def test_unknown_names_offer_near_ones(name, message, create):
    with pytest.raises(UnknownModelError, match=message):
        create(name)


# --------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize("channels", [1, 4])
def test_any_number_of_input_channels(channels, create):
    wrapper = create("test_resnet", channels=channels)
    images = torch.zeros(1, channels, 64, 64)
    assert wrapper.forward_features(images)["features"].shape == (1, 96, 2, 2)


def test_arguments_reach_timm(create):
    assert create("test_vit", num_classes=7, depth=2).model.head.out_features == 7
    assert len(create("test_vit", depth=2).model.blocks) == 2


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("test_vit", {"dept": 2}, r"model_args of timm/test_vit: dept, did you mean 'depth'\?"),
        ("test_vit", {"dept": 2}, "test_vit takes .*embed_dim.*weights"),
        ("test_resnet", {"widt": 2}, r"unknown model_args of timm/test_resnet: widt"),
        # Its constructor computes widths by tensors, which older torch cannot do without numbers.
        ("regnetx_002", {"widt": 2}, r"unknown model_args of timm/regnetx_002: widt"),
        ("test_vit", {"num_heads": 7}, "refuses model_args .*'num_heads': 7.*Assertion"),
        ("test_vit", {"in_chans": 4}, "in_chans=4, but images have 3 channels"),
        ("test_resnet", {"pretrained": True}, "cannot be fetched(?s:.*)model_args.weights"),
        ("test_resnet", {"checkpoint_path": "none.pth"}, "refuses .*none.pth"),
        ("test_resnet", {"weights": "none.pth"}, "there is no file none.pth"),
        ("test_resnet", {"weights": 3}, "must be the path or URL of a file, got 3"),
        ("test_resnet", {"weights": "a", "pretrained": True}, "both given"),
    ],
)
def test_wrong_arguments_say_what_is_expected(name, arguments, message, create):
    with pytest.raises(ConfigError, match=message):
        create(name, **arguments)


def test_weights_come_from_an_address_too(create, tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTLY_CACHE_DIR", str(tmp_path / "cache"))
    source = timm.create_model("test_resnet")
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    wrapper = create("test_resnet", weights=(tmp_path / "weights.pth").as_uri())
    torch.testing.assert_close(wrapper.model.state_dict(), source.state_dict(), rtol=0, atol=0)


def test_arguments_that_a_constructor_forgets_are_refused(monkeypatch, create):
    class Forgetful(nn.Module):
        def __init__(self, in_chans=3, **kwargs):
            super().__init__()
            self.conv = nn.Conv2d(in_chans, 8, 8, stride=8)

        def forward_features(self, x):
            return self.conv(x)

    def forgetful(pretrained=False, **kwargs):
        for key in ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"):
            kwargs.pop(key, None)
        return Forgetful(**kwargs)

    forgetful.__module__ = __name__
    registry = sys.modules["timm.models._registry"]
    monkeypatch.setitem(registry._model_entrypoints, "forgetful", forgetful)
    assert create("forgetful").feature_dim() == 8
    with pytest.raises(ConfigError, match="unknown model_args of timm/forgetful: depth"):
        create("forgetful", depth=3)


# ----------------------------------------------------------------------------- users' modules


def test_a_users_module_is_wrapped_and_not_copied():
    module = timm.create_model("test_resnet", num_classes=3)
    built = built_model(module)
    assert built.wrapper.get_model() is module
    assert isinstance(built.wrapper, timm_wrapper.TimmWrapper)


@pytest.mark.families
def test_a_users_module_with_other_channels_is_refused():
    module = timm.create_model("test_resnet", in_chans=4)
    with pytest.raises(ConfigError, match="this ResNet takes images of 4 channels, but 3 were"):
        built_model(module)
    assert built_model(module, channels=4).wrapper.feature_dim() == 96


# ------------------------------------------------------------------------------------ weights


def trained(name="test_vit", **arguments):
    model = timm.create_model(name, **arguments)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return model


def test_weights_from_a_file_are_all_there(tmp_path, create):
    model = trained()
    torch.save({"model": model.state_dict()}, tmp_path / "a.pth")
    wrapper = create("test_vit", weights=str(tmp_path / "a.pth"))
    torch.testing.assert_close(wrapper.get_model().state_dict(), model.state_dict())


@pytest.mark.families
def test_a_classifier_of_other_classes_is_left_out(tmp_path, create):
    model = trained()
    torch.save(model.state_dict(), tmp_path / "a.pth")
    for classes in (0, 7):
        wrapper = create("test_vit", weights=tmp_path / "a.pth", num_classes=classes)
        own = wrapper.get_model().state_dict()
        same = {key: value for key, value in model.state_dict().items() if "head" not in key}
        torch.testing.assert_close({key: own[key] for key in same}, same)


@pytest.mark.families
@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_efficientnet"])
@pytest.mark.parametrize("channels", [1, 5])
def test_the_first_convolution_is_adapted_as_timm_does_it(name, channels, tmp_path, create):
    model = trained(name)
    torch.save(model.state_dict(), tmp_path / "a.pth")
    wrapper = create(name, channels=channels, weights=tmp_path / "a.pth")
    own = timm.create_model(
        name,
        pretrained=True,
        in_chans=channels,
        pretrained_cfg_overlay={"file": str(tmp_path / "a.pth")},
    )
    torch.testing.assert_close(wrapper.get_model().state_dict(), own.state_dict())


@pytest.mark.parametrize("with_torch", [False, True])
def test_norms_that_activate_do_so_when_they_are_synchronised(with_torch, create):
    module = create("test_efficientnet").get_model().eval()
    images = torch.randn(2, 3, 32, 32)
    expected = module(images)
    assert synchronise(module, with_torch=with_torch) == []
    assert torch.equal(module(images), expected)


class TwoBranches(nn.Module):
    """Like CrossViT, with two first convolutions and two classifiers."""

    def __init__(self, channels, classes):
        super().__init__()
        self.pretrained_cfg = {"first_conv": ("fine", "coarse"), "classifier": ("first", "second")}
        self.fine, self.coarse = nn.Conv2d(channels, 4, 2), nn.Conv2d(channels, 4, 3)
        self.first, self.second = nn.Linear(4, classes), nn.Linear(4, classes)


def test_all_first_convolutions_are_adapted_and_all_classifiers_left_out():
    source = TwoBranches(3, 5)
    found = timm_weights.translate(source.state_dict(), TwoBranches(1, 7))
    names = ("fine", "coarse")
    assert found.keys() == {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}
    for name in names:
        # A grey image gives what it gave in three equal channels.
        grey = source.get_submodule(name).weight.sum(dim=1, keepdim=True)
        torch.testing.assert_close(found[f"{name}.weight"], grey)


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "backbone.", "_orig_mod."])
def test_a_usual_prefix_is_taken_off(prefix):
    model = TwoBranches(3, 5)
    tensors = {f"{prefix}{name}": value for name, value in model.state_dict().items()}
    found = timm_weights.translate({**tensors, "epoch": torch.ones(1)}, model)
    torch.testing.assert_close({**found, "epoch": None}, {**model.state_dict(), "epoch": None})


def test_positions_are_resized_as_timm_does_it(tmp_path, create):
    torch.save(trained().state_dict(), tmp_path / "a.pth")
    wrapper = create("test_vit", img_size=64, weights=tmp_path / "a.pth")
    overlay = {"file": str(tmp_path / "a.pth")}
    own = timm.create_model("test_vit", True, pretrained_cfg_overlay=overlay, img_size=64)
    torch.testing.assert_close(wrapper.get_model().state_dict(), own.state_dict())


def test_an_original_layout_is_converted(tmp_path, library, create):
    arguments = {"embed_dim": 24, "depth": 2, "num_heads": 2, "init_values": 1.0}
    model = trained("deit3_small_patch16_224", **arguments)
    original = {
        key.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2"): value
        for key, value in model.state_dict().items()
    }
    torch.save({"model": original}, tmp_path / "a.pth")
    wrapper = create("deit3_small_patch16_224", weights=tmp_path / "a.pth", **arguments)
    torch.testing.assert_close(wrapper.get_model().state_dict(), model.state_dict())
    assert timm_weights.translate(original, model).keys() == model.state_dict().keys()
    fresh = create("deit3_small_patch16_224", **arguments)
    assert load_weights(fresh, tmp_path / "a.pth", library=library).complete


def test_a_partial_load_is_refused_with_counts_and_names(tmp_path, create):
    state = trained().state_dict()
    total = len(state)
    state.pop("blocks.0.norm1.weight")
    state["extra"] = torch.zeros(1)
    state["blocks.1.norm1.weight"] = torch.zeros(3)
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(ConfigError) as caught:
        create("test_vit", weights=tmp_path / "a.pth")
    message = str(caught.value)
    assert f"{total - 2} of its {total} tensors match" in message
    assert "1 missing in the file: blocks.0.norm1.weight" in message
    assert "1 unexpected: extra" in message
    assert "blocks.1.norm1.weight (3,) instead of (64,)" in message


def test_a_file_of_another_model_is_refused(tmp_path, create):
    torch.save(trained("test_resnet").state_dict(), tmp_path / "a.pth")
    with pytest.raises(ConfigError, match=r"0 of its .* tensors match"):
        create("test_vit", weights=tmp_path / "a.pth")
    (tmp_path / "a.npz").write_bytes(b"no zip")
    for name, message in (("test_resnet", "reads no .npz"), ("test_vit", "does not fit")):
        with pytest.raises(ConfigError, match=message):
            create(name, weights=tmp_path / "a.npz")


# ------------------------------------------------------------------------------------ export


@pytest.mark.families
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("test_resnet", {"num_classes": 5, "weights": "a.pth"}),
        ("test_vit", {"img_size": (64, 96), "depth": 2, "pretrained": False}),
        ("test_resnet", {"features_only": True, "out_indices": (1, 3)}),
    ],
)
def test_the_snippet_needs_timm_only_and_rebuilds_the_model(
    name, arguments, tmp_path, monkeypatch, create
):
    monkeypatch.chdir(tmp_path)
    if "weights" in arguments:
        torch.save(trained(name).state_dict(), tmp_path / "a.pth")
    built = built_model(f"timm/{name}", channels=4, **arguments)
    native, _ = export_model(built, built.wrapper, tmp_path, "exported", {})
    code = snippet(built, native)
    assert "lightly" not in code.replace(str(native), "")
    exec(code, scope := {})
    model = scope["model"].eval()
    images = torch.randn(1, 4, 64, 96)
    if name == "test_vit":
        own = model.forward_features(images)[:, 1:]
        found = built.wrapper.eval().forward_features(images)["features"]
        assert torch.equal(found.flatten(2).transpose(1, 2), own)
    torch.testing.assert_close(model.state_dict(), built.wrapper.get_model().state_dict())


def test_the_snippet_of_a_users_module_leaves_building_to_the_user(tmp_path):
    built = built_model(timm.create_model("test_resnet"))
    native, _ = export_model(built, built.wrapper, tmp_path, "exported", {})
    model = timm.create_model("test_resnet")
    exec(snippet(built, native), {"model": model})
    torch.testing.assert_close(model.state_dict(), built.wrapper.get_model().state_dict())


class RefusesCheckpointing(nn.Module):
    """Has timm's switch, which refuses, as that of its models without checkpointing."""

    def set_grad_checkpointing(self, enable=True):
        self.grad_checkpointing = enable
        assert not enable


def test_a_model_whose_switch_refuses_has_no_checkpointing():
    assert not supports_checkpointing(RefusesCheckpointing())
    assert not supports_checkpointing(nn.Linear(1, 1))
