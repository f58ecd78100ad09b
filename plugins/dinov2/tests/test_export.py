import pytest
import torch

from lightly_core.exporting.files import export_model, snippet
from lightly_core.exporting.weights import load_weights
from lightly_core.models.wrapping import build_model
from lightly_core.plugins.discovery import get_plugins

TINY = {"embed_dim": 48, "depth": 2, "num_heads": 2, "img_size": 70}


def built_model(name, channels=3, **model_args):
    return build_model(
        f"dinov2/{name}",
        catalog=get_plugins().catalog,
        num_input_channels=channels,
        model_args={**TINY, **model_args},
    )


VARIANTS = [
    ("vits14", 4, False),
    pytest.param("vits14-noreg", 0, False, marks=pytest.mark.families),
    pytest.param("vitg14", 4, True, marks=pytest.mark.families),
]


@pytest.mark.parametrize(("name", "registers", "gated"), VARIANTS)
def test_the_exported_file_is_in_metas_layout(
    create, library, tiny_weights, reference, tmp_path, name, registers, gated
):
    tensors = tiny_weights(registers=registers, gated=gated)
    wrapper = create(name, tensors)
    library.save(wrapper.get_model(), tmp_path / "exported.pt")
    exported = torch.load(tmp_path / "exported.pt", weights_only=True)
    shapes = {key: value.shape for key, value in exported.items()}
    assert shapes == {key: value.shape for key, value in tensors.items()}
    images = torch.randn(2, 3, 98, 42)
    for found, expected in zip(
        reference(exported, images, heads=2), reference(tensors, images, heads=2), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.families
@pytest.mark.parametrize(("name", "registers", "gated"), VARIANTS)
def test_promise_04_a_run_starts_from_an_exported_file(
    create, library, tiny_weights, tmp_path, name, registers, gated
):
    create(name, tiny_weights(registers=registers, gated=gated))  # writes published.pth
    built = built_model(name, weights=str(tmp_path / "published.pth"))
    files = export_model(built, built.wrapper, tmp_path, "exported_last", {"method": "dino"})
    expected = built.wrapper.get_model().state_dict()
    for file in files:
        fresh = built_model(f"{name}-notpretrained")
        assert load_weights(fresh.wrapper, file, strict=True, library=library).complete
        torch.testing.assert_close(fresh.wrapper.get_model().state_dict(), expected)
        again = built_model(name, weights=str(file))
        torch.testing.assert_close(again.wrapper.get_model().state_dict(), expected)


@pytest.mark.families
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize(("name", "registers", "gated"), VARIANTS)
def test_the_printed_snippet_runs(create, tiny_weights, tmp_path, name, registers, gated, channels):
    create(name, tiny_weights(registers=registers, gated=gated))
    built = built_model(name, channels, weights=str(tmp_path / "published.pth"))
    native, _ = export_model(built, built.wrapper, tmp_path, "exported_last", {})
    code = snippet(built, native)
    exec(code, scope := {})
    images = torch.randn(1, channels, 70, 70)
    wrapper = built.wrapper.eval()
    with torch.no_grad():
        expected = wrapper.forward_features(images)["cls_token"]
        torch.testing.assert_close(scope["model"].eval()(images), expected)


def test_the_snippet_says_how_metas_code_loads_the_file(library, tmp_path):
    def snippet_of(name, channels=3, **model_args):
        return library.snippet(
            name, num_input_channels=channels, model_args=model_args, file=tmp_path / "a.pt"
        )

    repository = "torch.hub.load('facebookresearch/dinov2', "
    assert f"{repository}'dinov2_vits14_reg', pretrained=False)" in snippet_of("vits14")
    code = snippet_of("vitg14-noreg", 4, drop_path_rate=0.1)
    assert f"{repository}'dinov2_vitg14', pretrained=False, in_chans=4)" in code
    assert "torch.hub" not in snippet_of("vits14", depth=3)


def test_the_snippet_of_a_users_module_runs_with_this_module(library, create, tmp_path):
    source = create("vits14-notpretrained").get_model()
    library.save(source, tmp_path / "exported.pt")
    code = library.snippet(None, num_input_channels=3, model_args={}, file=tmp_path / "exported.pt")
    fresh = create("vits14-notpretrained").get_model()
    exec(code, {"model": fresh})
    torch.testing.assert_close(fresh.state_dict(), source.state_dict())
