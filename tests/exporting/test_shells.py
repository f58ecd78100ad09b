"""Whole pickled modules: their tensors are read, and no code is run."""

import argparse
import builtins
import functools
import os
import pathlib
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules import module as torch_module

from lightly_core.errors import ConfigError
from lightly_core.exporting.shells import Shell, module_tensors
from lightly_core.exporting.weights import read_weights

ZOO = ("zoo",)


def assert_same(found, expected):
    assert list(found) == list(expected)
    torch.testing.assert_close(found, dict(expected), rtol=0, atol=0)


def nets():
    return [
        nn.Linear(2, 3),
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.GELU()),
        nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, batch_first=True), 2),
        nn.ModuleDict({"a": nn.ParameterList([torch.ones(2)]), "b": nn.GRU(2, 3)}),
        nn.DataParallel(nn.PReLU()),
    ]


@pytest.mark.parametrize("index", range(5))
def test_modules_of_torch_are_read(tmp_path, index):
    model = nets()[index]
    torch.save(model, tmp_path / "model.pt")
    assert_same(read_weights(tmp_path / "model.pt"), model.state_dict())


def test_modules_of_an_allowed_library_are_read_without_its_code(zoo, tmp_path):
    model = zoo.Net()
    torch.save(model, tmp_path / "model.pt")
    zoo.ran.clear()
    found = read_weights(tmp_path / "model.pt", pickled_modules=ZOO)
    assert_same(found, model.state_dict())
    assert all(type(tensor) is torch.Tensor for tensor in found.values())
    assert not any(tensor.requires_grad for tensor in found.values())
    assert zoo.ran == []


def test_the_library_need_not_be_there(zoo, tmp_path, monkeypatch):
    expected = (model := zoo.Net()).state_dict()
    torch.save(model, tmp_path / "model.pt")
    monkeypatch.delitem(sys.modules, "zoo.nets")
    monkeypatch.delitem(sys.modules, "zoo")
    assert_same(read_weights(tmp_path / "model.pt", pickled_modules=ZOO), expected)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_half_precision_of_modules_comes_as_float32(zoo, tmp_path, precision):
    model = zoo.Net().to(precision)
    torch.save(model, tmp_path / "model.pt")
    found = read_weights(tmp_path / "model.pt", pickled_modules=ZOO)
    expected = {
        name: value.float() if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    assert_same(found, expected)
    assert found["norm.num_batches_tracked"].dtype == torch.int64


def test_attributes_beside_slots_are_read():
    shell = Shell()
    # What Python writes for an object of a class with slots.
    shell.__setstate__(({"_parameters": {"weight": torch.ones(2)}}, {"note": "of the user"}))
    assert list(module_tensors(shell)) == ["weight"]


def test_an_object_without_attributes_is_passed_over(zoo, tmp_path):
    state = nn.Linear(2, 2).state_dict()
    torch.save({"ema": zoo.Greedy(), "model": state}, tmp_path / "model.pt")
    assert_same(read_weights(tmp_path / "model.pt", pickled_modules=ZOO), state)


def test_the_average_is_preferred(zoo, tmp_path):
    model, average = zoo.Net(), zoo.Net()
    for content, expected in (
        ({"model": model, "ema": average, "updates": 7}, average),
        ({"model": model, "ema": None}, model),
        ({"model": None, "ema": average.half()}, average.float()),
    ):
        torch.save(content, tmp_path / "best.pt")
        found = read_weights(tmp_path / "best.pt", pickled_modules=ZOO)
        assert_same(found, expected.state_dict())


def test_plain_data_beside_the_weights_is_no_hindrance(tmp_path):
    state = nn.Linear(2, 2).state_dict()
    content = {
        "args": argparse.Namespace(arch="vit", out=pathlib.PurePosixPath("/out"), lr=0.1),
        "more": types.SimpleNamespace(a=[1, 2]),
        "norm": functools.partial(nn.LayerNorm, eps=1e-6),
        "score": np.float64(0.5),
        "array": np.zeros(3),
        "part": slice(1, 2),
        "teacher": state,
    }
    torch.save(content, tmp_path / "model.pth")
    assert_same(read_weights(tmp_path / "model.pth"), state)


# ------------------------------------------------------------------------------- code


def test_the_traps_of_these_tests_work(zoo, call, tmp_path):
    marker = tmp_path / "ran"
    content = [call(zoo.detonate), zoo.Greedy(), call(os.system, f"touch '{marker}'")]
    torch.save(content, tmp_path / "trap.pt")
    zoo.ran.clear()
    torch.load(tmp_path / "trap.pt", weights_only=False)
    assert zoo.ran == ["detonate", "Greedy.__init__"]
    assert marker.exists()


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize("trap", ["system", "eval", "exec", "mkdir", "hub"])
def test_code_is_refused(call, tmp_path, trap, new_format):
    marker = tmp_path / "ran"
    source = f"open({str(marker)!r}, 'w')"
    trapped, name = {
        "system": (call(os.system, f"touch '{marker}'"), f"{os.name}.system"),
        "eval": (call(builtins.eval, source), "builtins.eval"),
        "exec": (call(builtins.exec, source), "builtins.exec"),
        "mkdir": (call(os.mkdir, str(marker)), f"{os.name}.mkdir"),
        "hub": (call(torch.hub.load, str(tmp_path), "model"), ""),
    }[trap]
    content = {"model": nn.Linear(2, 2).state_dict(), "trap": trapped}
    torch.save(content, tmp_path / "model.pt", _use_new_zipfile_serialization=new_format)
    with pytest.raises(ConfigError, match="pickled Python objects") as error:
        read_weights(tmp_path / "model.pt", pickled_modules=ZOO)
    assert name in str(error.value)
    # torch's own message tells users to switch the protection off.
    assert "weights_only" not in str(error.value)
    assert not marker.exists()


def test_functions_and_constructors_of_allowed_libraries_are_not_called(zoo, call, tmp_path):
    model = zoo.Net()
    content = {
        "model": model,
        "function": call(zoo.detonate, "now"),
        "constructor": zoo.Greedy(),
        "hook": call(torch_module.register_module_forward_hook, nn.functional.relu),
        "lookup": call(getattr, zoo.Net, "load_state_dict"),
    }
    torch.save(content, tmp_path / "model.pt")
    zoo.ran.clear()
    hooks = len(torch_module._global_forward_hooks)
    found = read_weights(tmp_path / "model.pt", pickled_modules=ZOO)
    assert_same(found, model.state_dict())
    assert zoo.ran == []
    assert len(torch_module._global_forward_hooks) == hooks


def test_hooks_in_a_module_are_not_called(zoo, tmp_path):
    model = zoo.Net()
    model.register_state_dict_post_hook(zoo.detonate)
    model._state_dict_hooks[0] = zoo.detonate
    torch.save(model, tmp_path / "model.pt")
    expected = zoo.Net().state_dict()
    zoo.ran.clear()
    assert list(read_weights(tmp_path / "model.pt", pickled_modules=ZOO)) == list(expected)
    assert zoo.ran == []


def test_other_libraries_are_refused_by_name(zoo, tmp_path):
    torch.save(zoo.Net(), tmp_path / "model.pt")
    with pytest.raises(ConfigError, match=r"\(zoo\.nets\.Block, zoo\.nets\.Net\); loading it"):
        read_weights(tmp_path / "model.pt", pickled_modules=("zoological",))


@pytest.fixture
def declared_safe(zoo):
    """What torch's list holds after some library put its real classes there."""
    with torch.serialization.safe_globals([zoo.Net, zoo.Block, zoo.Greedy]):
        yield set(torch.serialization.get_safe_globals())


def test_classes_that_somebody_declared_safe_are_not_used(zoo, tmp_path, declared_safe):
    model = zoo.Net()
    torch.save(model, tmp_path / "model.pt")
    torch.save({"model": {}, "greedy": zoo.Greedy()}, tmp_path / "trap.pt")
    zoo.ran.clear()
    found = read_weights(tmp_path / "model.pt", pickled_modules=ZOO)
    with pytest.raises(ConfigError, match="pickled Python objects"):
        read_weights(tmp_path / "trap.pt")
    assert zoo.ran == []
    assert set(torch.serialization.get_safe_globals()) == declared_safe
    # Last: torch's comparison imports more of torch, which declares classes of its own safe.
    assert_same(found, model.state_dict())


def test_the_list_of_safe_classes_stays_as_it_was(zoo, tmp_path):
    before = set(torch.serialization.get_safe_globals())
    torch.save(zoo.Net(), tmp_path / "model.pt")
    read_weights(tmp_path / "model.pt", pickled_modules=ZOO)
    assert set(torch.serialization.get_safe_globals()) == before


def test_a_module_inside_of_itself_ends(zoo, tmp_path):
    model = zoo.Net()
    model._modules["self"] = model
    torch.save(model, tmp_path / "model.pt")
    found = read_weights(tmp_path / "model.pt", pickled_modules=ZOO)
    assert_same(found, zoo.Net().state_dict() | found)
    assert not any(name.startswith("self") for name in found)


def test_modules_in_the_format_of_2020_are_refused(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "model.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(ConfigError, match="pickled Python objects"):
        read_weights(tmp_path / "model.pt")
