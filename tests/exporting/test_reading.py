import datetime
import logging
import os
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lightly_core.errors import ConfigError
from lightly_core.exporting.reading import CONTAINERS, read_weights


def state(value):
    return {"weight": torch.full((2, 2), float(value))}


def value_of(content, path):
    torch.save(content, path)
    (tensor,) = read_weights(path).values()
    return tensor[0, 0].item()


# ------------------------------------------------------------------------------- where


def test_every_container_is_looked_into(tmp_path):
    found = {
        key: value_of({"epoch": 3, key: state(number), "optimizer": {}}, tmp_path / f"{number}.pth")
        for number, key in enumerate(CONTAINERS)
    }
    assert found == {key: number for number, key in enumerate(CONTAINERS)}


def test_the_first_container_in_the_documented_order_is_taken(tmp_path):
    for start in range(len(CONTAINERS)):
        present = reversed(CONTAINERS[start:])
        content = {key: state(CONTAINERS.index(key)) for key in present}
        assert value_of(content, tmp_path / "w.pth") == start


@pytest.mark.parametrize("empty", [None, {}, {"decay": 0.999}, 3, "ema.pth", torch.zeros(2)])
def test_containers_without_tensors_are_passed_over(tmp_path, empty):
    assert value_of({"ema": empty, "model": state(7)}, tmp_path / "w.pth") == 7


def test_containers_in_containers(tmp_path):
    content = {"ema": {"module": state(7), "updates": 3}, "model": state(1)}
    assert value_of(content, tmp_path / "w.pth") == 7


def test_a_choice_is_told(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="lightly_core")
    value_of({"student": state(1), "teacher": state(2)}, tmp_path / "w.pth")
    assert "taking 'teacher', leaving 'student'" in caplog.text
    caplog.clear()
    value_of({"teacher": state(2)}, tmp_path / "w.pth")
    assert caplog.text == ""


def test_a_file_inside_of_itself_ends(tmp_path):
    content = {"epoch": 1}
    content["model"] = content
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ConfigError, match="no tensors found"):
        read_weights(tmp_path / "w.pth")


def test_state_dicts_keep_their_precision(tmp_path):
    torch.save({"a": torch.zeros(1, dtype=torch.float16)}, tmp_path / "w.pth")
    assert read_weights(tmp_path / "w.pth")["a"].dtype == torch.float16


def test_the_home_folder_is_filled_in(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save(state(7), tmp_path / "w.pth")
    assert list(read_weights("~/w.pth")) == ["weight"]


def test_safetensors_are_known_by_their_content(tmp_path):
    save_file(state(7), tmp_path / "w.bin")
    assert read_weights(tmp_path / "w.bin")["weight"][0, 0] == 7


@pytest.mark.parametrize("new_format", [True, False])
def test_both_formats_of_torch_are_read(tmp_path, new_format):
    torch.save(state(7), tmp_path / "w.pth", _use_new_zipfile_serialization=new_format)
    assert read_weights(tmp_path / "w.pth")["weight"][0, 0] == 7


# ------------------------------------------------------------------------------- what is wrong


def refused(path):
    with pytest.raises(ConfigError) as error:
        read_weights(path)
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04 half a zip", b"\x80"])
def test_damaged_files_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert "cannot be read" in refused(tmp_path / name)


def test_missing_files_and_folders_are_refused(tmp_path):
    assert "there is no file" in refused(tmp_path / "nowhere.pt")
    assert "is a folder" in refused(tmp_path)


def test_a_file_without_tensors_is_refused(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "numbers.pt")
    assert "got keys epoch" in refused(tmp_path / "numbers.pt")
    torch.save(nn.ReLU(), tmp_path / "relu.pt")
    assert "got a pickled torch.nn.modules.activation.ReLU" in refused(tmp_path / "relu.pt")


def test_other_objects_are_refused(tmp_path):
    torch.save({"state_dict": {}, "date": datetime.date(2020, 1, 1)}, tmp_path / "w.pt")
    assert "pickled Python objects, not only tensors (datetime.date)" in refused(tmp_path / "w.pt")


@pytest.mark.parametrize(
    "page",
    [
        b"<!DOCTYPE html>\n<html><body>Log in</body></html>",
        b"\n  <HTML><head>",
        b"\xef\xbb\xbf<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
    ],
)
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_web_page_is_recognised(tmp_path, page, name):
    (tmp_path / name).write_bytes(page)
    text = refused(tmp_path / name)
    assert "looks like a web page" in text
    assert "get a new link" in text


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_pointer_of_git_lfs_is_recognised(tmp_path, name):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12\n"
    (tmp_path / name).write_text(pointer)
    assert "run `git lfs pull`" in refused(tmp_path / name)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_torchscript_archive_is_recognised(tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "w.pt")
    assert "TorchScript" in refused(tmp_path / "w.pt")


def test_an_onnx_graph_is_recognised(tmp_path):
    (tmp_path / "w.onnx").write_bytes(b"\x08\x07\x12\x07pytorch")
    assert "ONNX" in refused(tmp_path / "w.onnx")


def test_another_zip_archive_is_recognised(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("inner/net.pth", b"weights")
    text = refused(tmp_path / "w.pth")
    assert "zip archive" in text
    assert "inner/net.pth" in text


@pytest.mark.parametrize("kind", ["new", "old", "safetensors"])
def test_files_that_are_cut_off_are_refused(tmp_path, kind):
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    content = {f"layer{index}.weight": torch.randn(20, 20) for index in range(5)}
    if kind == "safetensors":
        save_file(content, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "new")
    whole = path.read_bytes()
    for fraction in (0.2, 0.5, 0.9, 0.999):
        path.write_bytes(whole[: int(fraction * len(whole))])
        text = refused(path)
        assert "cannot be read" in text, fraction
        assert "weights_only" not in text, fraction


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_plain_pickle_is_refused(tmp_path):
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"a": 1}))
    text = refused(tmp_path / "w.pkl")
    assert "cannot be read" in text
    assert "weights_only" not in text


def test_an_address_a_pipe_and_a_missing_file_are_told_apart(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for given, words in (
        ("https://a.b/c.pt", "'https://a.b/c.pt' is an address"),
        (tmp_path, "is a folder"),
        (tmp_path / "pipe", "is a pipe, a socket or a device"),
        (tmp_path / "none.pt", "there is no file"),
    ):
        with pytest.raises(ConfigError, match=words):
            read_weights(given)


@pytest.mark.parametrize("text", ["hello", '{"a": 1}', "a = 1\n" * 200, "ü" * 400, "\ufeffa,b\r\n"])
def test_a_text_is_called_a_text(tmp_path, text):
    (tmp_path / "w.pt").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="it is a text\n  expected a checkpoint"):
        read_weights(tmp_path / "w.pt")


def test_tensors_without_values_are_refused(tmp_path):
    torch.save(nn.Linear(2, 2, device="meta").state_dict(), tmp_path / "w.pt")
    with pytest.raises(ConfigError, match=r"2 of 2 tensors .* have no values"):
        read_weights(tmp_path / "w.pt")
