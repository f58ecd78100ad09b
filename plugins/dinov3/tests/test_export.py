import pytest
import torch

from lightly_core.exporting.files import export_model, snippet
from lightly_core.exporting.weights import load_weights
from lightly_core.models.wrapping import build_model
from lightly_core.plugins.discovery import get_plugins

TRANSFORMER = {"embed_dim": 32, "depth": 2, "num_heads": 2}
CONVNEXT = {"dims": [8, 12, 16, 24], "depths": [1, 2, 1, 1]}


def built_model(name, channels=3, **model_args):
    tiny = CONVNEXT if name.startswith("convnext") else TRANSFORMER
    return build_model(
        f"dinov3/{name}",
        catalog=get_plugins().catalog,
        num_input_channels=channels,
        model_args={**tiny, **model_args},
    )


KINDS = [
    "vits16",
    pytest.param("vits16plus", marks=pytest.mark.families),
    pytest.param("vit7b16", marks=pytest.mark.families),
    "convnext-tiny",
]


@pytest.fixture
def published(create, tensors_of, tmp_path):
    """Return the tensors of a kind's tiny twin, and the arguments that load them."""

    def published(name, **options):
        if name == "vit7b16":
            tensors = tensors_of("plus", biased=False, **options)
            arguments = {"mlp_ratio": 4}
        else:
            tensors, arguments = tensors_of(name, **options), {}
        torch.save(tensors, tmp_path / "published.pth")
        return tensors, {**arguments, "weights": str(tmp_path / "published.pth")}

    return published


@pytest.mark.parametrize("name", KINDS)
def test_the_exported_file_is_in_metas_layout(published, library, references, tmp_path, name):
    tensors, arguments = published(name)
    built = built_model(name, **arguments)
    library.save(built.wrapper.get_model(), tmp_path / "exported.pt")
    exported = torch.load(tmp_path / "exported.pt", weights_only=True)
    shapes = {key: value.shape for key, value in exported.items()}
    assert shapes == {key: value.shape for key, value in tensors.items()}
    images = torch.randn(2, 3, 64, 96)
    kind = "convnext" if name.startswith("convnext") else "transformer"
    heads = [] if kind == "convnext" else [2]
    for found, expected in zip(
        references[kind](exported, images, *heads),
        references[kind](tensors, images, *heads),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_biases_that_training_changed_act_in_the_exported_file(create, library, tmp_path):
    model = create("vits16-notpretrained").model
    torch.nn.init.ones_(model.blocks[0].attn.v_bias)
    library.save(model, tmp_path / "exported.pt")
    exported = torch.load(tmp_path / "exported.pt", weights_only=True)
    prefix = "blocks.0.attn.qkv.bias"
    product = exported[prefix] * exported[f"{prefix}_mask"]
    assert product.tolist() == [0.0] * 64 + [1.0] * 32


@pytest.mark.families
@pytest.mark.parametrize("name", KINDS)
def test_promise_04_a_run_starts_from_an_exported_file(published, library, tmp_path, name):
    _, arguments = published(name)
    built = built_model(name, **arguments)
    files = export_model(built, built.wrapper, tmp_path, "exported_last", {"method": "dino"})
    expected = built.wrapper.get_model().state_dict()
    others = {key: value for key, value in arguments.items() if key != "weights"}
    for file in files:
        fresh = built_model(f"{name}-notpretrained", **others)
        assert load_weights(fresh.wrapper, file, strict=True, library=library).complete
        torch.testing.assert_close(fresh.wrapper.get_model().state_dict(), expected)
        again = built_model(name, **others, weights=str(file))
        torch.testing.assert_close(again.wrapper.get_model().state_dict(), expected)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("name", [*KINDS, pytest.param("vitt16", marks=pytest.mark.families)])
def test_the_printed_snippet_runs(published, tmp_path, name, channels):
    options = {} if name.startswith("convnext") else {"periods": "exact"}
    _, arguments = published(name, **options)
    built = built_model(name, channels, **arguments)
    native, _ = export_model(built, built.wrapper, tmp_path, "exported_last", {})
    code = snippet(built, native)
    exec(code, scope := {})
    images = torch.randn(1, channels, 64, 96)
    wrapper = built.wrapper.eval()
    with torch.no_grad():
        expected = wrapper.forward_features(images)["cls_token"]
        torch.testing.assert_close(scope["model"].eval()(images), expected)


def test_the_snippet_says_how_metas_code_loads_the_file(library, tmp_path):
    def snippet_of(name, channels=3, **model_args):
        return library.snippet(
            name, num_input_channels=channels, model_args=model_args, file=tmp_path / "a.pt"
        )

    repository = "torch.hub.load('facebookresearch/dinov3', "
    assert f"{repository}'dinov3_vith16plus', pretrained=False)" in snippet_of("vith16plus")
    code = snippet_of("convnext-base", drop_path_rate=0.1)
    assert f"{repository}'dinov3_convnext_base', pretrained=False)" in code
    for other in (snippet_of("vits16", 4), snippet_of("vits16", depth=3), snippet_of("vitt16")):
        assert "torch.hub" not in other


@pytest.mark.families
@pytest.mark.parametrize("name", ["vits16-notpretrained", "convnext-tiny-notpretrained"])
def test_the_snippet_of_a_users_module_runs_with_this_module(library, create, tmp_path, name):
    source = create(name).get_model()
    library.save(source, tmp_path / "exported.pt")
    built = built_model(name)
    code = library.snippet(None, num_input_channels=3, model_args={}, file=tmp_path / "exported.pt")
    fresh = built.wrapper.get_model()
    exec(code, {"model": fresh})
    torch.testing.assert_close(fresh.state_dict(), source.state_dict())
