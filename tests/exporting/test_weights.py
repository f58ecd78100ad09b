from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lightly_core.contracts import ModelLibrary
from lightly_core.errors import ConfigError
from lightly_core.exporting.weights import (
    LoadReport,
    load_weights,
    read_weights,
    require_complete,
)
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


def test_a_whole_module_is_loaded(toy, source, tmp_path):
    layers = nn.Sequential(*[nn.Linear(2, 2) for _ in range(3)])
    wrapper = toy.Wrapper(nn.Sequential(*[nn.Linear(2, 2) for _ in range(3)]))
    torch.save(layers, tmp_path / "model.pt")
    assert load_weights(wrapper, tmp_path / "model.pt", strict=True).complete
    assert_loaded(wrapper, layers)


# ---------------------------------------------------------------------------- libraries


class Published(ModelLibrary):
    """Weights are published under other names and flattened."""

    pickled_modules = ("zoo",)

    def create(self, name, *, num_input_channels, model_args):
        raise NotImplementedError

    wrap = names = snippet = create

    def translate_weights(self, tensors, module):
        shapes = {name: value.shape for name, value in module.state_dict().items()}
        translated = {}
        for name, tensor in tensors.items():
            if name.startswith("published_"):
                name = name.removeprefix("published_")
                tensor = tensor.reshape(shapes[name])
            translated[name] = tensor
        return translated


def published(state, prefix=""):
    return {f"{prefix}published_{name}": value.reshape(-1) for name, value in state.items()}


@pytest.mark.parametrize("prefix", ["", "backbone.", "module.backbone."])
def test_a_library_translates_published_weights(toy, source, tmp_path, prefix):
    content = {**published(source.state_dict(), prefix), "dino_head.weight": torch.zeros(2)}
    torch.save({"teacher": content}, tmp_path / "weights.pth")
    wrapper = toy.Wrapper()
    report = load_weights(wrapper, tmp_path / "weights.pth", library=Published())
    assert_loaded(wrapper, source)
    assert report.unexpected == ("dino_head.weight",)
    with pytest.raises(ConfigError, match="no tensor of"):
        load_weights(toy.Wrapper(), tmp_path / "weights.pth")


def test_a_library_leaves_its_own_layout_alone(toy, source, tmp_path):
    torch.save(source.state_dict(), tmp_path / "weights.pt")
    wrapper = toy.Wrapper()
    assert load_weights(wrapper, tmp_path / "weights.pt", library=Published(), strict=True)
    assert_loaded(wrapper, source)


def test_a_checkpoint_with_embedding_passes_a_library(toy, source, tmp_path):
    class Narrow(Published):
        def translate_weights(self, tensors, module):
            return {name: tensors[name] for name in module.state_dict() if name in tensors}

    old = EmbeddingWrapper(toy.Wrapper(source), 6)
    path = checkpoint(old, tmp_path / "last.ckpt")
    new = EmbeddingWrapper(toy.Wrapper(), 6)
    assert load_weights(new, path, strict=True, library=Narrow()).complete
    assert torch.equal(new.embed.weight, old.embed.weight)


def test_a_library_names_the_modules_that_may_be_pickled(zoo, toy, tmp_path):
    model = zoo.Net()
    torch.save({"model": None, "ema": model}, tmp_path / "best.pt")
    wrapper = toy.Wrapper(zoo.Net())
    assert load_weights(wrapper, tmp_path / "best.pt", strict=True, library=Published())
    assert_loaded(wrapper, model)
    with pytest.raises(ConfigError, match="pickled Python objects"):
        load_weights(wrapper, tmp_path / "best.pt")


# ---------------------------------------------------------------------------- partial loads


def some_of(state, count, extra):
    """`count` of the tensors and `extra` others."""
    more = {f"extra.{index}": torch.zeros(1) for index in range(extra)}
    return {**dict(list(state.items())[:count]), **more}


def test_a_file_of_another_model_is_refused_though_a_few_names_agree(toy, source, tmp_path):
    torch.save(some_of(source.state_dict(), 4, 5), tmp_path / "weights.pt")
    wrapper = toy.Wrapper()
    before = {name: value.clone() for name, value in wrapper.model.state_dict().items()}
    with pytest.raises(ConfigError, match="another model: only 4 of 9 tensors of ToyNet fit"):
        load_weights(wrapper, tmp_path / "weights.pt")
    torch.testing.assert_close(wrapper.model.state_dict(), before)


def test_tensors_of_other_shapes_do_not_count_as_fitting(toy, source, tmp_path):
    state = source.state_dict()
    for name in list(state)[4:]:
        state[name] = torch.zeros(77)
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(ConfigError, match="only 4 of 9 tensors of ToyNet fit"):
        load_weights(toy.Wrapper(), tmp_path / "weights.pt")


def test_a_part_of_the_model_is_loaded_with_a_warning(toy, source, tmp_path, caplog):
    torch.save(some_of(source.state_dict(), 4, 4), tmp_path / "weights.pt")
    wrapper = toy.Wrapper()
    report = load_weights(wrapper, tmp_path / "weights.pt")
    assert report.matched_share == pytest.approx(4 / 9)
    assert report.used_share == pytest.approx(4 / 8)
    assert torch.equal(wrapper.model.conv.weight, source.conv.weight)
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "Only 4 of 9 tensors of ToyNet are in" in warning.getMessage()


def test_a_model_inside_of_a_larger_file_is_loaded_quietly(toy, source, tmp_path, caplog):
    torch.save(some_of(source.state_dict(), 5, 100), tmp_path / "weights.pt")
    assert load_weights(toy.Wrapper(), tmp_path / "weights.pt").matched_share == 5 / 9
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def report(**kinds):
    empty = dict.fromkeys(("matched", "missing", "unexpected", "mismatched_shapes"), ())
    return LoadReport(Path("w.pth"), **{**empty, **kinds})


def test_complete_loads_pass():
    require_complete(report(matched=("a",)))
    require_complete(
        report(
            matched=("a",),
            missing=("head.bias",),
            mismatched_shapes=(("head.weight", (1,), (2,)),),
            unexpected=("mask_token", "blocks.0.bias_mask"),
        ),
        allowed_missing=["head.*"],
        allowed_unexpected=["mask_token", "*.bias_mask"],
    )


@pytest.mark.parametrize(
    ("kinds", "text"),
    [
        ({"missing": ("head.bias", "a.b")}, "1 of 2 tensors loaded; 1 not in the file: a.b"),
        ({"unexpected": ("blocks.12.w",)}, "1 of 1 tensors loaded; 1 not in the model: blocks"),
        (
            {"mismatched_shapes": (("pos", (1, 2), (3, 4)), ("head.w", (1,), (2,)))},
            r"1 of 2 tensors loaded; 1 of another shape, .*: pos \(1, 2\) instead of \(3, 4\)",
        ),
    ],
)
def test_incomplete_loads_are_refused_with_names(kinds, text):
    with pytest.raises(ConfigError, match=text) as error:
        require_complete(report(matched=("a",), **kinds), allowed_missing=["head.*"], hint="Do it.")
    assert str(error.value).splitlines()[-1] == "  Do it."


def test_a_prefix_right_in_front_of_the_names_is_taken_off(toy, tmp_path):
    wrapper, tensors = (
        toy.Wrapper(nn.Linear(2, 3)),
        {"weight": torch.ones(3, 2), "bias": torch.ones(3)},
    )
    torch.save({f"module.{key}": value for key, value in tensors.items()}, tmp_path / "w.pt")
    assert load_weights(wrapper, tmp_path / "w.pt", strict=True).complete
    torch.testing.assert_close(dict(wrapper.get_model().state_dict()), tensors)


def test_of_two_tensors_of_a_name_the_one_with_the_prefix_is_loaded(toy, tmp_path):
    wrapper = toy.Wrapper(nn.Linear(2, 3))
    averaged = {"weight": torch.ones(3, 2), "bias": torch.ones(3)}
    content = {f"module.{key}": value for key, value in averaged.items()}
    content["weight"] = torch.zeros(3, 2)  # of another network in the same file
    torch.save(content, tmp_path / "w.pt")
    assert load_weights(wrapper, tmp_path / "w.pt").complete
    torch.testing.assert_close(dict(wrapper.get_model().state_dict()), averaged)
