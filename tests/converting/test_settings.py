"""Settings of `lightly export` that are refused before anything heavy is loaded or written."""

import pytest

import lightly_core
from lightly_core import ConfigError


def problems(tmp_path, **settings):
    with pytest.raises(ConfigError) as caught:
        lightly_core.export(
            **{"out": tmp_path / "model.onnx", "model": "torchvision/x", **settings}
        )
    assert not (tmp_path / "model.onnx").exists()
    return str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"formt": "onnx"}, ["did you mean 'format'"]),
        ({"format": "onxx"}, ["did you mean 'onnx'", "torch_export"]),
        ({"part": "modle"}, ["did you mean 'model'"]),
        ({"model": None}, ["config.model: required"]),
        ({"best": True}, ["only a run folder"]),
        ({"checkpoint": "nothing.pt"}, ["does not exist"]),
        ({"image_size": 0}, [">= 1 pixel"]),
        ({"format": "huggingface", "part": "wrapped_model"}, ["holds model", "torch_export"]),
        ({"format": "safetensors"}, ["end in .safetensors", "out=model.safetensors"]),
    ],
    ids=str,
)
def test_a_wrong_setting_is_named(settings, words, tmp_path):
    text = problems(tmp_path, **settings)
    assert [word for word in words if word not in text] == []


def test_a_place_that_is_taken_or_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file.pt").write_text("mine")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("mine")
    assert "overwrite=true" in problems(tmp_path, out=tmp_path / "file.pt")
    assert "is a folder" in problems(tmp_path, out=folder, format="onnx")
    assert "is a file" in problems(tmp_path, out=tmp_path / "file.pt", format="huggingface")
    assert "is not empty" in problems(tmp_path, out=folder, format="huggingface")
    assert "cannot be created" in problems(tmp_path, out=tmp_path / "file.pt/model.onnx")
    assert "no format has the ending '.abc'" in problems(tmp_path, out=tmp_path / "model.abc")


def test_a_format_whose_packages_are_missing_names_the_pip_line(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "lightly_core.converting.checks.missing_requirements", lambda record: record.requires
    )
    assert "pip install 'onnx>=1.17'" in problems(tmp_path)


def test_a_folder_without_an_exported_network_is_named(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    assert "has no exported_models" in problems(tmp_path, model=str(run))
    text = problems(tmp_path, model=str(run), best=True)
    assert "exported_best" in text
    assert "model_checkpoint.monitor" in text
    (run / "checkpoints").mkdir()
    (run / "checkpoints/last.ckpt").touch()
    assert f"give '{run / 'checkpoints/last.ckpt'}'" in problems(tmp_path, model=str(run))
    assert "there is no file or folder" in problems(tmp_path, model="run.ckpt")
