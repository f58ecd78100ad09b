"""What `lightly export` writes, read back by other means than its own check."""

import json

import onnx
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import lightly_core
from lightly_core import ConfigError
from lightly_core.errors import RunError
from lightly_core.exporting.formats.onnx import Onnx
from lightly_core.models.embedding import embed
from lightly_core.testing.models import TinyTokens

FILES = {
    "torchscript": "model.ts",
    "torch_export": "model.pt2",
    "onnx": "model.onnx",
}
PREPROCESSING = {
    "image_size": [32, 32],
    "mean": [0.1, 0.2, 0.3],
    "std": [0.4, 0.5, 0.6],
    "interpolation": "bicubic",
    "num_channels": 3,
    "value_range": [0.0, 1023.0],
}


def plain(model, images):
    """The features of a network, without the modules of an export."""
    model.eval()
    with torch.no_grad():
        found = model.forward_features(images)
        return found["features"], model.forward_pool(found)["pooled_features"].flatten(1)


def load(name, file):
    """Return a function of images, and the preprocessing in a file."""
    extra = {"preprocessing.json": ""}
    if name == "torchscript":
        return torch.jit.load(str(file), _extra_files=extra), extra["preprocessing.json"]
    if name == "torch_export":
        program = torch.export.load(file, extra_files=extra)
        return program.module(), extra["preprocessing.json"]
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    text = session.get_modelmeta().custom_metadata_map["preprocessing"]
    return lambda images: map(torch.from_numpy, session.run(None, {"images": images.numpy()})), text


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_graph_has_the_features_for_other_sizes_and_the_preprocessing(name, export, tiny):
    given = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "value_range": (0, 1023)}
    result = export(FILES[name], **given)
    assert (result.format, result.part, result.any_size) == (name, "wrapped_model", True)
    model, text = load(name, result.path)
    assert json.loads(text) == PREPROCESSING
    images = torch.randn(5, 3, 56, 48)
    for found, expected in zip(model(images), plain(tiny, images), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert 0 <= result.largest_difference < 1e-4


@pytest.mark.slow
def test_the_layer_of_embed_dim_is_in_the_embedding_model_only(export, tmp_path):
    torch.manual_seed(0)
    model = embed(TinyTokens(), 5)
    images = torch.randn(2, 3, 32, 32)
    sizes = {}
    for part in ("embedding_model", "wrapped_model"):
        result = export(f"{part}.pt2", model=model, part=part)
        sizes[part] = [
            tuple(tensor.shape) for tensor in load("torch_export", result.path)[0](images)
        ]
    assert sizes["embedding_model"] == [(2, 5)]
    assert sizes["wrapped_model"][1][1] == 5  # The user's own wrapper has the layer itself.


def test_weights_are_those_of_the_network_in_each_format(export, tiny):
    expected = tiny.get_model().state_dict()
    files = {
        "package_default": export("a.pt").path,
        "torch_state_dict": export("b.pt", format="torch_state_dict").path,
        "torch_model": export("c.pt", format="torch_model").path,
        "safetensors": export("d.safetensors").path,
    }
    module = torch.load(files["torch_model"], weights_only=False)
    assert all(parameter.requires_grad for parameter in module.parameters())
    found = {
        "package_default": torch.load(files["package_default"], weights_only=True),
        "torch_state_dict": torch.load(files["torch_state_dict"], weights_only=True),
        "torch_model": module.state_dict(),
        "safetensors": load_file(files["safetensors"]),
    }
    for tensors in found.values():
        assert tensors.keys() == expected.keys()
        assert all(torch.equal(tensors[name], expected[name]) for name in expected)


@pytest.mark.slow
def test_the_module_of_the_user_is_not_changed(export, tiny):
    before = {name: value.clone() for name, value in tiny.state_dict().items()}
    tiny.train()
    export("model.pt2")
    assert tiny.training
    assert all(torch.equal(value, before[name]) for name, value in tiny.state_dict().items())


def test_the_console_says_what_was_written_and_how_to_load_it(export, capsys):
    result = export("model.safetensors")
    told = capsys.readouterr().out
    assert f"written as safetensors ({result.path.stat().st_size / 1e6:.1f} MB)" in told
    assert str(result.path) in told
    assert result.snippet in told


@pytest.mark.slow
def test_an_exported_file_is_evaluated_with_its_own_preprocessing(export, tiny):
    given = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "value_range": (0, 1023)}
    result = export("model.safetensors", **given)
    with safe_open(result.path, framework="pt") as file:
        facts = file.metadata()
    assert (facts["image_size"], facts["value_range"]) == ("32x32", "0.0 1023.0")
    again = export("again.onnx", image_size=None, checkpoint=result.path)
    assert json.loads(load("onnx", again.path)[1]) == PREPROCESSING


@pytest.mark.slow
def test_a_file_that_computes_something_else_is_not_kept(export, tmp_path, monkeypatch):
    (tmp_path / "model.onnx").write_text("before")
    save = onnx.save_model

    def damaged(model, path):
        weights = next(one for one in model.graph.initializer if len(one.dims) == 4)
        weights.raw_data = bytes(len(weights.raw_data))
        save(model, path)

    monkeypatch.setattr(onnx, "save_model", damaged)
    with pytest.raises(RunError, match="computes something else"):
        export("model.onnx", overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    assert (tmp_path / "model.onnx").read_text() == "before"


def test_an_interrupted_export_leaves_what_was_there(export, tmp_path, monkeypatch):
    (tmp_path / "model.pt").write_text("before")

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("lightly_core.exporting.formats.weights.save_torch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export("model.pt", overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt"]
    assert (tmp_path / "model.pt").read_text() == "before"


class FixedSize(torch.nn.Module):
    """A network whose last layer has a weight for each position."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(4, 6, 8, stride=8)
        self.scale = torch.nn.Parameter(torch.randn(6, 4, 4))

    def forward(self, x):
        return self.conv(x) * self.scale


class Classifier(torch.nn.Module):
    """A network whose features are followed by a layer that changes them in place."""

    def __init__(self):
        super().__init__()
        self.features = torch.nn.Conv2d(3, 6, 3, stride=2)
        self.head = torch.nn.Sequential(torch.nn.ReLU(inplace=True), torch.nn.Flatten(2))

    def forward(self, x):
        return self.head(self.features(x)).mean(dim=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_the_features_inside_of_a_module_of_the_user_are_exported(name, export):
    net = Classifier()
    result = export(FILES[name], model=lightly_core.wrap(net, features="features"))
    images = torch.randn(3, 3, 40, 48)
    found = next(iter(load(name, result.path)[0](images)))
    torch.testing.assert_close(found, net.features(images).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_network_of_one_size_and_four_channels_is_exported_for_it(name, export, caplog):
    model = lightly_core.wrap(FixedSize(), num_input_channels=4, image_size=32)
    result = export(FILES[name], model=model, num_channels=4)
    assert not result.any_size
    images = torch.randn(3, 4, 32, 32)
    found = next(iter(load(name, result.path)[0](images)))
    torch.testing.assert_close(found, model.forward_features(images)["features"].detach())


def test_what_cannot_be_pickled_is_refused_with_other_formats(export, tmp_path):
    model = FixedSize()
    model.function = lambda x: x
    wrapped = lightly_core.wrap(model, num_input_channels=4, image_size=32)
    with pytest.raises(ConfigError, match=r"cannot be pickled(.|\n)*safetensors"):
        export("model.pt", model=wrapped, num_channels=4, format="torch_model")
    assert list(tmp_path.iterdir()) == []


def test_weights_that_one_onnx_file_cannot_hold_are_refused(export, monkeypatch):
    monkeypatch.setattr("lightly_core.exporting.formats.onnx._MOST_BYTES", 1000)
    with pytest.raises(ConfigError, match=r"at most 2 GB(.|\n)*formats that can: .*torch_export"):
        export("model.onnx")
    assert Onnx.tolerance == 1e-3


@pytest.mark.slow
def test_a_folder_keeps_files_of_others(export, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    settings = {"model": "torchvision/resnet18", "format": "huggingface", "overwrite": True}
    with pytest.raises(ConfigError, match=r"notes\.txt"):
        export("model", **settings)
    assert [file.name for file in folder.iterdir()] == ["notes.txt"]
