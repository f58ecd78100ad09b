import copy
from fnmatch import fnmatch

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from lightly_core import __version__
from lightly_core.exporting.files import export_model, snippet
from lightly_core.exporting.weights import load_weights
from lightly_core.models.custom import wrap
from lightly_core.models.embedding import embed
from lightly_core.models.wrapping import BuiltModel


@pytest.fixture
def built(toy):
    return BuiltModel(toy.Wrapper(), toy.Library(), "toy/net", "net", {"num_classes": 5}, 3)


def test_both_files_load_strictly_into_the_model(built, toy, tmp_path):
    native, plain = export_model(built, built.wrapper, tmp_path / "models", "exported_last", {})
    assert [native.name, plain.name] == ["exported_last.pt", "exported_last.safetensors"]
    for state in (torch.load(native, weights_only=True), load_file(plain)):
        model = toy.Net()
        model.load_state_dict(state, strict=True)
        torch.testing.assert_close(model.state_dict(), built.wrapper.model.state_dict())
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == [
        "exported_last.pt",
        "exported_last.safetensors",
    ]


def test_the_given_wrapper_is_written_not_the_one_that_was_built(built, toy, tmp_path):
    average = copy.deepcopy(built.wrapper)
    average.model.conv.weight.data.fill_(2)
    native, plain = export_model(built, average, tmp_path, "exported_best", {})
    for state in (torch.load(native, weights_only=True), load_file(plain)):
        assert torch.equal(state["conv.weight"], average.model.conv.weight)


def test_metadata_says_what_the_file_is(built, tmp_path):
    given = {"method": "simclr", "normalize_mean": "0.5 0.5 0.5"}
    _, plain = export_model(built, built.wrapper, tmp_path, "exported_last", given)
    with safe_open(plain, framework="pt") as file:
        assert file.metadata() == {
            "format": "pt",
            "lightly_core_version": __version__,
            "model": "toy/net",
            "num_input_channels": "3",
            **given,
        }


def test_shared_and_strided_tensors_are_written_whole(toy, tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.second = nn.Linear(4, 4)
            self.second.weight = self.first.weight
            self.register_buffer("turned", torch.arange(6.0).reshape(2, 3).T)
            self.register_buffer("part", torch.arange(10.0)[2:4])

    wrapper = toy.Wrapper(Tied())
    built = BuiltModel(wrapper, None, None, None)
    _, plain = export_model(built, wrapper, tmp_path, "exported_last", {})
    state = load_file(plain)
    torch.testing.assert_close(state, dict(wrapper.model.state_dict()))
    model = Tied()
    model.load_state_dict(state, strict=True)


def test_a_failed_write_leaves_the_old_file(built, tmp_path, monkeypatch):
    native, _ = export_model(built, built.wrapper, tmp_path, "exported_last", {})
    before = native.read_bytes()

    def fail(module, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(built.library, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        export_model(built, built.wrapper, tmp_path, "exported_last", {})
    assert native.read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]


def test_promise_04_a_run_starts_from_an_exported_file(built, toy, tmp_path):
    for file in export_model(built, built.wrapper, tmp_path, "exported_last", {}):
        wrapper = toy.Wrapper()
        assert load_weights(wrapper, file, strict=True).complete
        torch.testing.assert_close(wrapper.model.state_dict(), built.wrapper.model.state_dict())


def test_the_snippet_of_the_library_is_asked_with_all_that_built_the_model(built, tmp_path):
    assert snippet(built, tmp_path) == f"net 3 {{'num_classes': 5}} {tmp_path}"


def test_the_snippet_for_a_users_wrapper_runs(toy, tmp_path):
    trained = toy.Wrapper()
    built = BuiltModel(trained, None, None, None)
    native, _ = export_model(built, trained, tmp_path, "exported_last", {})
    scope = {"wrapper": toy.Wrapper()}
    exec(snippet(built, native), scope)
    torch.testing.assert_close(scope["model"].state_dict(), trained.model.state_dict())
    assert scope["model"] is scope["wrapper"].model


def test_the_snippet_for_a_wrapped_module_runs(toy, tmp_path):
    wrapper = wrap(toy.Net(), features="norm", image_size=16)
    built = BuiltModel(wrapper, None, None, None)
    native, _ = export_model(built, wrapper, tmp_path, "exported_last", {})
    scope = {"model": toy.Net()}
    exec(snippet(built, native), scope)
    torch.testing.assert_close(scope["model"].state_dict(), wrapper.model.state_dict())


# ------------------------------------------------------------------------- embed_dim


@pytest.fixture
def own():
    """Make the record of a user's own wrapper."""
    return lambda wrapper: BuiltModel(wrapper, None, None, None)


def test_the_layer_of_embed_dim_has_a_file_of_its_own(built, toy, tmp_path):
    wrapper = embed(built.wrapper, 3)
    # As training leaves it, which must not show in the file.
    wrapper.to(memory_format=torch.channels_last)
    given = {"embed_dim": "3"}
    native, plain, embedding = export_model(built, wrapper, tmp_path, "exported_last", given)
    assert embedding.name == "exported_last.embedding.safetensors"
    tensors = load_file(embedding)
    assert {name: tuple(value.shape) for name, value in tensors.items()} == {
        "weight": (3, 8),
        "bias": (3,),
    }
    assert torch.equal(tensors["weight"], wrapper.embed.weight[:, :, 0, 0])
    with safe_open(embedding, framework="pt") as file:
        assert file.metadata()["model"] == "toy/net"
        assert file.metadata()["embed_dim"] == "3"
    toy.Net().load_state_dict(load_file(plain), strict=True)
    toy.Net().load_state_dict(torch.load(native, weights_only=True), strict=True)


def test_model_and_layer_together_give_the_embedding(own, toy, tmp_path):
    wrapper = embed(toy.Wrapper(), 3).eval()
    built = own(wrapper.wrapper)
    native, _, _ = export_model(built, wrapper, tmp_path, "exported_last", {})
    scope = {"wrapper": toy.Wrapper()}
    exec(snippet(built, native), scope)
    images = torch.randn(2, 3, 16, 16)
    features = scope["wrapper"].eval().forward_features(images)
    pooled = scope["wrapper"].forward_pool(features)["pooled_features"].flatten(1)
    found = wrapper.forward_pool(wrapper.forward_features(images))["pooled_features"]
    torch.testing.assert_close(scope["embed"](pooled), found.flatten(1))


def test_without_embed_dim_no_layer_of_an_older_export_is_left(own, toy, tmp_path):
    wrapper = toy.Wrapper()
    built = own(wrapper)
    export_model(built, embed(wrapper, 3), tmp_path, "exported_last", {})
    native, _ = export_model(built, wrapper, tmp_path, "exported_last", {})
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["exported_last.pt", "exported_last.safetensors"]
    assert "torch.nn.Linear" not in snippet(built, native)


def test_overwrite_clears_the_file_of_the_layer():
    from lightly_core.engine.folder import RUN_FILES

    name = "exported_models/exported_last.embedding.safetensors"
    assert any(fnmatch(name, pattern) for pattern in RUN_FILES)
