import datetime

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lightly_core.errors import ConfigError
from lightly_core.export.weights import load_weights, read_weights
from lightly_core.models.embedding import EmbeddingWrapper


@pytest.fixture
def source(toy):
    """A model with other numbers than a fresh one."""
    model = toy.Net()
    with torch.no_grad():
        for value in model.state_dict().values():
            value.fill_(3)
    return model


def checkpoint(wrapper, path, **more):
    """Write what the engine writes, as far as it matters here."""
    state = {f"method.model.{name}": value for name, value in wrapper.state_dict().items()}
    facts = {"exported_prefix": "method.model."}
    torch.save({"state_dict": {**state, **more}, "epoch": 3, "lightly": facts}, path)
    return path


def assert_loaded(wrapper, source):
    torch.testing.assert_close(wrapper.get_model().state_dict(), source.state_dict())


@pytest.mark.parametrize(
    "packed",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 1},
        lambda state: {"model": state},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {f"_orig_mod.module.{name}": value for name, value in state.items()},
        lambda state: {"state_dict": {f"backbone.{name}": value for name, value in state.items()}},
        lambda state: {f"model.{name}": value for name, value in state.items()},
    ],
)
def test_state_dicts_are_found_wherever_they_are(toy, source, tmp_path, packed):
    torch.save(packed(source.state_dict()), tmp_path / "weights.pth")
    wrapper = toy.Wrapper()
    report = load_weights(wrapper, tmp_path / "weights.pth", strict=True)
    assert_loaded(wrapper, source)
    assert report.complete


def test_safetensors_are_read(toy, source, tmp_path):
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    wrapper = toy.Wrapper()
    load_weights(wrapper, tmp_path / "weights.safetensors", strict=True)
    assert_loaded(wrapper, source)


def test_a_prefix_stays_where_the_model_has_it(tmp_path):
    class Nested(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = nn.Linear(2, 2)
            self.weight = nn.Parameter(torch.zeros(2, 2))

        def get_model(self):
            return self

    wrapper = Nested()
    torch.save(Nested().state_dict(), tmp_path / "weights.pt")
    assert load_weights(wrapper, tmp_path / "weights.pt", strict=True).complete


def test_the_checkpoint_gives_the_exported_wrapper_only(toy, source, tmp_path):
    teacher = {"method.teacher.model.conv.weight": torch.zeros(8, 3, 4, 4)}
    path = checkpoint(toy.Wrapper(source), tmp_path / "last.ckpt", **teacher)
    assert set(read_weights(path)) == {f"model.{name}" for name in source.state_dict()}
    wrapper = toy.Wrapper()
    report = load_weights(wrapper, path)
    assert_loaded(wrapper, source)
    assert report.complete


def test_promise_05_weights_go_into_a_run_with_another_method_and_head(toy, tmp_path):
    source = toy.Net(num_classes=5)
    heads = {"method.projector.weight": torch.zeros(4, 8), "method.queue": torch.zeros(16, 4)}
    path = checkpoint(EmbeddingWrapper(toy.Wrapper(source), 6), tmp_path / "last.ckpt", **heads)

    wrapper = toy.Wrapper(toy.Net(num_classes=9))
    classifier = wrapper.model.head.weight.clone()
    report = load_weights(wrapper, path)
    assert torch.equal(wrapper.model.conv.weight, source.conv.weight)
    assert torch.equal(wrapper.model.norm.running_var, source.norm.running_var)
    assert torch.equal(wrapper.model.head.weight, classifier)
    assert report.mismatched_shapes == (
        ("head.weight", (5, 8), (9, 8)),
        ("head.bias", (5,), (9,)),
    )
    assert set(report.unexpected) == {"embed.weight", "embed.bias"}
    assert report.missing == ()


def test_a_checkpoint_restores_the_embedding_too(toy, source, tmp_path):
    old = EmbeddingWrapper(toy.Wrapper(source), 6)
    path = checkpoint(old, tmp_path / "last.ckpt")
    new = EmbeddingWrapper(toy.Wrapper(), 6)
    assert load_weights(new, path, strict=True).complete
    assert torch.equal(new.embed.weight, old.embed.weight)


def test_the_summary_names_five_of_each_kind(toy, source, tmp_path):
    state = source.state_dict()
    del state["conv.bias"]
    state["head.bias"] = torch.zeros(7)
    state |= {f"extra.{index}": torch.zeros(1) for index in range(7)}
    torch.save(state, tmp_path / "weights.pt")
    summary = load_weights(toy.Wrapper(), tmp_path / "weights.pt").summary()
    assert "7 of 9 tensors loaded" in summary
    assert "1 not in the file: conv.bias" in summary
    assert "7 not in the model: extra.0, extra.1, extra.2, extra.3, extra.4, ..." in summary
    assert "1 of another shape, left as they were: head.bias (7,) instead of (5,)" in summary
    assert "\n" not in summary


def test_strict_refuses_what_is_not_complete(toy, source, tmp_path):
    state = source.state_dict()
    del state["conv.bias"]
    torch.save(state, tmp_path / "weights.pt")
    wrapper = toy.Wrapper()
    before = wrapper.model.conv.weight.clone()
    with pytest.raises(ConfigError, match=r"1 not in the file: conv\.bias"):
        load_weights(wrapper, tmp_path / "weights.pt", strict=True)
    assert torch.equal(wrapper.model.conv.weight, before)


def test_a_file_for_another_model_is_refused(toy, tmp_path):
    torch.save({"layer.weight": torch.zeros(2)}, tmp_path / "weights.pt")
    with pytest.raises(ConfigError, match=r"fits ToyNet\n  the file has layer.weight; the model"):
        load_weights(toy.Wrapper(), tmp_path / "weights.pt")


def test_pickled_modules_are_refused(toy, tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(ConfigError, match="pickled Python objects"):
        read_weights(tmp_path / "model.pt")
    torch.save({"state_dict": {}, "date": datetime.date(2020, 1, 1)}, tmp_path / "model.pt")
    with pytest.raises(ConfigError, match="pickled Python objects"):
        read_weights(tmp_path / "model.pt")


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04 half a zip"])
def test_damaged_files_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_weights(tmp_path / name)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="there is no file"):
        read_weights(tmp_path / "nowhere.pt")


def test_a_file_without_tensors_is_refused(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "numbers.pt")
    with pytest.raises(ConfigError, match=r"no tensors found .* got keys epoch"):
        read_weights(tmp_path / "numbers.pt")
