"""Files that a setting refers to, and their metadata."""

import sys
import types

import pytest
import torch
from safetensors.torch import save_file

from lightly_core.errors import ConfigError
from lightly_core.evaluation.files import find_described_file, find_model_file

FACTS = {"lightly_core_version": "1", "model": "timm/test_vit"}


@pytest.fixture
def write(tmp_path):
    """Write a file of one tensor with metadata."""

    def write(name, facts):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"weight": torch.zeros(2)}, path, facts)
        return path

    return write


@pytest.mark.parametrize("key", ["lightly_core_version", "lightly_core"])
def test_an_exported_file_tells_its_network(write, key):
    path = write("a.safetensors", {key: "1", "model": "timm/test_vit"})
    found = find_model_file(str(path))
    assert (found.path, found.native, found.model_name()) == (path, None, "timm/test_vit")
    assert find_described_file(str(path)).facts == found.facts


def test_the_file_in_the_librarys_layout_is_found_beside_it(write, tmp_path):
    path = write("a.safetensors", FACTS)
    native = tmp_path / "a.pt"
    torch.save({}, native)
    for name in (path, native):
        found = find_model_file(str(name))
        assert (found.path, found.native) == (path, native)


def test_a_folder_means_its_last_export(write, tmp_path):
    with pytest.raises(ConfigError, match="exported_last"):
        find_model_file(str(tmp_path))
    path = write("exported_models/exported_last.safetensors", FACTS)
    write("exported_models/exported_best.safetensors", FACTS)
    assert find_model_file(str(tmp_path)).path == path
    assert find_model_file(str(path.parent)).path == path


@pytest.mark.parametrize("facts", [None, {"model": "timm/test_vit"}])
def test_a_file_of_somebody_else_is_refused_or_passed_over(write, facts):
    path = write("a.safetensors", facts)
    with pytest.raises(ConfigError, match="give model=LIBRARY/NAME") as error:
        find_model_file(str(path))
    assert str(path) in str(error.value)
    assert find_described_file(str(path)) is None


@pytest.mark.parametrize("name", ["a.pt", "./a", "a.safetensors", "/a"])
def test_a_path_without_a_file_is_no_name_of_a_model(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="no file or folder"):
        find_model_file(name)
    assert find_model_file("timm/a") is None


def test_the_users_own_module_has_no_name(write):
    found = find_model_file(str(write("a.safetensors", {**FACTS, "model": "Net"})))
    with pytest.raises(ConfigError, match="Python object"):
        found.model_name()


def test_a_checkpoint_of_lightlytrain_is_refused_with_what_to_give(tmp_path, monkeypatch):
    # Its checkpoints hold objects of its own classes beside the tensors.
    module = types.ModuleType("lightly_train._models")
    wrapper = type("Wrapper", (), {"__module__": module.__name__})
    module.Wrapper = wrapper
    monkeypatch.setitem(sys.modules, "lightly_train", types.ModuleType("lightly_train"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": {"a": torch.zeros(2)}, "lightly_train": {"model": wrapper()}}, path)
    with pytest.raises(
        ConfigError, match=r"checkpoint of LightlyTrain.*exported_last\.pt"
    ) as error:
        find_model_file(str(path))
    assert "\x1b" not in str(error.value)


def test_a_checkpoint_of_another_program_is_named(tmp_path):
    torch.save({"state_dict": {"a": torch.zeros(2)}}, tmp_path / "last.ckpt")
    with pytest.raises(ConfigError, match="no checkpoint of a run; give model=LIBRARY/NAME"):
        find_model_file(str(tmp_path / "last.ckpt"))
