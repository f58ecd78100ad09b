import urllib.error

import pytest
import torch
from lazy_modules import LazyModule
from torch import nn

from lightly_core.errors import ConfigError, UnknownModelError
from lightly_core.exporting.files import export_model, snippet
from lightly_core.exporting.weights import load_weights
from lightly_core.models.probing import probe
from lightly_core.models.wrapping import build_model, get_wrapped_model
from lightly_core.plugins.discovery import get_plugins

torchvision = LazyModule("torchvision")
tv_library = LazyModule("lightly_torchvision.library")
tv_stem = LazyModule("lightly_torchvision.stem")
tv_wrapper = LazyModule("lightly_torchvision.wrapper")


def built_model(model, channels=3, **model_args):
    return build_model(
        model,
        catalog=get_plugins().catalog,
        num_input_channels=channels,
        model_args=model_args or None,
    )


@pytest.mark.families
def test_a_name_gives_a_wrapper_with_random_weights():
    wrapper = get_wrapped_model("torchvision/resnet18")
    assert isinstance(wrapper, tv_wrapper.TorchvisionWrapper)
    assert probe(wrapper, 3, 64).feature_size == (2, 2)


def test_a_users_module_is_wrapped_and_not_copied():
    module = torchvision.models.resnet18(num_classes=3)
    built = built_model(module)
    assert built.wrapper.get_model() is module
    assert built.name is None


def test_a_users_subclass_is_wrapped():
    class MyResNet(torchvision.models.ResNet):
        pass

    module = MyResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1])
    assert get_wrapped_model(module).feature_dim() == 512


@pytest.mark.families
def test_model_args_reach_the_constructor(create):
    model = create("resnet18", num_classes=7, zero_init_residual=True).model
    assert model.fc.out_features == 7
    assert model.layer1[0].bn2.weight.abs().max() == 0


@pytest.mark.parametrize(
    ("model_args", "message"),
    [
        ({"num_clases": 7}, r"unknown model_args of torchvision/resnet18: num_clases, did you mean "
         r"'num_classes'\?\n  resnet18 takes .*small_stem.*zero_init_residual"),
        ({"num_classes": "many"}, r"refuses model_args \{'num_classes': 'many'\}"),
        ({"small_stem": 1}, "small_stem must be true or false, got 1"),
        ({"weights": "nowhere/model.pt"}, "there is no file nowhere/model.pt"),
        ({"weights": "IMAGENET_V7"}, "refuses model_args .*IMAGENET_V7"),
    ],
)  # fmt: skip
def test_wrong_model_args_are_explained(create, model_args, message):
    with pytest.raises(ConfigError, match=message):
        create("resnet18", **model_args)


# Their classes pass over arguments that they do not know.
@pytest.mark.parametrize(
    "name", ["mobilenet_v3_small", pytest.param("convnext_tiny", marks=pytest.mark.families)]
)
def test_a_misspelt_argument_is_not_passed_over(create, name):
    message = rf"unknown model_args of torchvision/{name}: num_clases, did you mean 'num_classes'"
    with pytest.raises(ConfigError, match=message):
        create(name, num_clases=7)


@pytest.mark.families
def test_arguments_of_the_functions_behind_a_builder_are_known(create):
    narrow = create("mobilenet_v3_small", width_mult=0.5).model
    assert narrow.features[0][0].out_channels == 8
    with pytest.raises(ConfigError, match=r"mobilenet_v3_small takes .*reduced_tail.*width_mult"):
        create("mobilenet_v3_small", tail=True)


def test_an_unknown_name_offers_near_ones(create):
    with pytest.raises(UnknownModelError, match=r"did you mean .*resnet18"):
        create("resnet81")


@pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn", "resnet18_quantized", "r3d_18"])
def test_models_for_other_tasks_are_refused(create, name):
    with pytest.raises(UnknownModelError, match=r"has no model (?s:.*)classification models"):
        create(name)


# ------------------------------------------------------------------------------ first layers


@pytest.mark.families
def test_the_new_convolution_is_drawn_like_the_old_one(create):
    old = create("resnet18").model.conv1.weight
    new = create("resnet18", channels=6).model.conv1.weight
    assert new.std().item() == pytest.approx(old.std().item(), rel=0.05)
    assert not torch.equal(new[:, :3], new[:, 3:])


@pytest.mark.families
def test_pretrained_weights_answer_to_a_grey_image_as_before(create, monkeypatch):
    state = torchvision.models.resnet18().state_dict()
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url", lambda *a, **k: dict(state)
    )
    grey = torch.randn(1, 1, 32, 32)
    before = nn.functional.conv2d(grey.expand(1, 3, 32, 32), state["conv1.weight"])
    for channels in (1, 2, 5):
        conv = create("resnet18", channels=channels, weights="DEFAULT").model.conv1
        after = nn.functional.conv2d(grey.expand(1, channels, 32, 32), conv.weight)
        torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


def test_a_module_for_other_channels_is_refused(library):
    with pytest.raises(ConfigError, match="takes images of 3 channels, but 1 were requested"):
        library.wrap(torchvision.models.resnet18(), num_input_channels=1)


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        *(pytest.param(n, marks=pytest.mark.families) for n in ("densenet121", "googlenet")),
    ],
)
def test_the_small_stem_keeps_the_resolution(create, name):
    wrapper, usual = create(name, small_stem=True), create(name)
    small, large = probe(wrapper, 3, 32).feature_size, probe(usual, 3, 128).feature_size
    assert small == large


@pytest.mark.families
@pytest.mark.parametrize("name", ["mobilenet_v2", "shufflenet_v2_x0_5", "alexnet"])
def test_the_small_stem_is_refused_where_it_does_not_fit(create, name):
    with pytest.raises(ConfigError, match=r"small_stem is for models .*\n  omit small_stem"):
        create(name, small_stem=True)


@pytest.mark.parametrize("pretrained", [True, False])
def test_a_first_convolution_that_is_not_square_keeps_its_form(pretrained):
    convolution = nn.Conv2d(3, 4, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 3))
    model = nn.Sequential(convolution)
    expected = model(torch.zeros(1, 3, 16, 24)).shape
    tv_stem.use_input_channels(model, 2, pretrained=pretrained)
    assert model[0].weight.shape == (4, 2, 3, 5)
    assert model(torch.zeros(1, 2, 16, 24)).shape == expected


# ------------------------------------------------------------------------------ fixed sizes


@pytest.mark.families
def test_the_error_for_a_wrong_size_names_the_right_one(create):
    with tv_library.without_memory():
        wrapper = create("vit_b_32", image_size=320)
    with pytest.raises(ValueError, match=r"VisionTransformer .* 320 x 320 pixels, got 224 x 224"):
        wrapper.forward_features(torch.zeros(1, 3, 224, 224))


# ---------------------------------------------------------------------------------- weights


@pytest.mark.families
def test_weights_come_from_a_file(create, tmp_path):
    source = create("shufflenet_v2_x0_5", small_stem=False, channels=1).model
    torch.save(source.state_dict(), tmp_path / "weights.pt")
    wrapper = create("shufflenet_v2_x0_5", channels=1, weights=str(tmp_path / "weights.pt"))
    torch.testing.assert_close(wrapper.model.state_dict(), source.state_dict())


def test_weights_that_cannot_be_fetched_are_explained(create):
    with pytest.raises(ConfigError, match=r"cannot fetch weights DEFAULT of torchvision/resnet18"):
        create("resnet18", weights="DEFAULT")


@pytest.mark.families
def test_promise_04_a_run_starts_from_an_exported_file(tmp_path):
    built = built_model("torchvision/squeezenet1_1")
    files = export_model(built, built.wrapper, tmp_path, "exported_last", {"method": "simclr"})
    for file in files:
        wrapper = get_wrapped_model("torchvision/squeezenet1_1")
        assert load_weights(wrapper, file, strict=True).complete
        torch.testing.assert_close(
            wrapper.get_model().state_dict(), built.wrapper.get_model().state_dict()
        )


@pytest.mark.families
def test_promise_05_a_run_with_other_classes_starts_from_it(tmp_path):
    built = built_model("torchvision/resnet18")
    native, _ = export_model(built, built.wrapper, tmp_path, "exported_last", {})
    wrapper = get_wrapped_model("torchvision/resnet18", model_args={"num_classes": 4})
    report = load_weights(wrapper, native)
    assert [name for name, _, _ in report.mismatched_shapes] == ["fc.weight", "fc.bias"]
    assert torch.equal(
        wrapper.get_model().layer4[1].conv2.weight, built.wrapper.get_model().layer4[1].conv2.weight
    )


# --------------------------------------------------------------------------------- snippets


@pytest.mark.families
@pytest.mark.parametrize(
    ("name", "channels", "model_args"),
    [
        ("resnet18", 4, {"small_stem": True, "num_classes": 7}),
        pytest.param("densenet121", 1, {"small_stem": True}, marks=pytest.mark.families),
        pytest.param("googlenet", 1, {"aux_logits": False}, marks=pytest.mark.families),
        pytest.param("swin_t", 4, {}, marks=pytest.mark.families),
        # loads only with the versions of its layers
        pytest.param("mnasnet0_5", 3, {}, marks=pytest.mark.families),
    ],
)
def test_the_printed_snippet_runs(tmp_path, name, channels, model_args):
    built = built_model(f"torchvision/{name}", channels, **model_args)
    native, _ = export_model(built, built.wrapper, tmp_path, "exported_last", {})
    code = snippet(built, native)
    exec(code, scope := {})
    model, trained = scope["model"].eval(), built.wrapper.get_model().eval()
    images = torch.randn(1, channels, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(images), trained(images))


def test_the_snippet_changes_no_random_state(library, tmp_path):
    state = torch.get_rng_state()
    library.snippet("resnet18", num_input_channels=1, model_args={}, file=tmp_path / "a.pt")
    assert torch.equal(torch.get_rng_state(), state)


def test_the_snippet_of_a_users_module_runs_with_this_module(tmp_path):
    built = built_model(torchvision.models.squeezenet1_1(num_classes=3))
    native, _ = export_model(built, built.wrapper, tmp_path, "exported_last", {})
    fresh = torchvision.models.squeezenet1_1(num_classes=3)
    exec(snippet(built, native), {"model": fresh})
    torch.testing.assert_close(fresh.state_dict(), built.wrapper.get_model().state_dict())


@pytest.mark.families
def test_the_snippet_needs_no_named_weights(library, create, tmp_path, monkeypatch):
    # The hub has the auxiliary heads; torchvision drops them unless they are requested.
    state = torchvision.models.googlenet(init_weights=True).state_dict()
    with monkeypatch.context() as patch:
        patch.setattr(
            "torchvision.models._api.load_state_dict_from_url", lambda *a, **k: dict(state)
        )
        trained = create("googlenet", weights="DEFAULT").model.eval()
    file = tmp_path / "exported_last.pt"
    torch.save(trained.state_dict(), file)
    code = library.snippet(
        "googlenet", num_input_channels=3, model_args={"weights": "DEFAULT"}, file=file
    )
    exec(code, scope := {})  # Fetching weights fails here.
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(scope["model"].eval()(images), trained(images))


def test_the_network_is_off_in_these_tests():
    with pytest.raises(urllib.error.URLError):
        torchvision.models.resnet18(weights="DEFAULT")
