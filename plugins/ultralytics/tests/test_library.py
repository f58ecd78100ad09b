import logging
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from lightly_core.errors import ConfigError
from lightly_core.models.probing import probe
from lightly_core.models.wrapping import get_wrapped_model
from lightly_ultralytics.description import build, check_config, read_config
from lightly_ultralytics.upstream import upstream
from lightly_ultralytics.wrapper import NeckWrapper

SMALL_YAML = """
nc: 3
scales:
  n: [0.33, 0.25, 1024]
  s: [0.33, 0.50, 1024]
backbone:
  - [-1, 1, Conv, [32, 3, 2]]
  - [-1, 1, Conv, [64, 3, 2]]
  - [-1, 1, Conv, [64, 3, 2]]
head:
  - [-1, 1, nn.Upsample, [None, 2, nearest]]
  - [[-1, 1], 1, Concat, [1]]
  - [[4, 2], 1, Detect, [nc]]
"""


@pytest.fixture
def small_yaml(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(SMALL_YAML)
    return file


@pytest.fixture
def small_weights(small_yaml, trained, library, tmp_path):
    """A file with weights of the small model."""
    file = tmp_path / "small.pt"
    library.save(trained(small_yaml).get_model(), file)
    return file


@pytest.fixture(scope="session")
def saved(create, library, tmp_path_factory):
    """A file with weights of YOLOv8n, which no test changes."""
    file = tmp_path_factory.mktemp("saved") / "best.pt"
    library.save(create("yolov8n.yaml").get_model(), file)
    return file


@pytest.fixture
def weights(saved, tmp_path):
    """A copy of it."""
    return Path(shutil.copy(saved, tmp_path))


# -------------------------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["/no/such/best.pt", "runs/train/best.pt", "models/mine.yaml"])
def test_a_missing_file_is_named(name, create):
    with pytest.raises(ConfigError, match=rf"there is no file {name}"):
        create(name)


@pytest.fixture
def weights_folder(tmp_path, monkeypatch):
    """The folder in which ultralytics keeps what it downloads."""
    settings = {"weights_dir": str(tmp_path)}
    monkeypatch.setattr(upstream("ultralytics.utils"), "SETTINGS", settings)
    return tmp_path


def test_published_weights_without_network_say_where_they_are(create, weights_folder):
    with pytest.raises(ConfigError, match=r"no file yolov5nu.pt(?s:.*)github.com/ultralytics"):
        create("yolov5n.pt")


def test_a_failing_download_says_where_to_get_the_file(create, weights_folder, monkeypatch):
    monkeypatch.setattr(upstream("ultralytics.utils"), "is_online", lambda: True)
    asked = []

    def fail(file):
        asked.append(Path(file))
        raise ConnectionError("connection reset")

    downloads = upstream("ultralytics.utils.downloads")
    monkeypatch.setattr(downloads, "attempt_download_asset", fail)
    with pytest.raises(ConfigError, match=r"connection reset(?s:.*)github.com/ultralytics"):
        create("yolov8n.pt")
    assert asked == [weights_folder / "yolov8n.pt"]


@pytest.mark.families
def test_published_weights_that_are_there_are_used(weights, create, weights_folder):
    weights.rename(weights_folder / "yolov8n.pt")
    assert create("yolov8n.pt").feature_dim() == 256


# ---------------------------------------------------------------------------- model_args


def test_unknown_model_args_get_a_suggestion(create):
    with pytest.raises(ConfigError, match="train_nek, did you mean 'train_neck'"):
        create("yolov8n.yaml", train_nek=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nc": 0}, "nc: expected a number of classes >= 1, got 0"),
        ({"nc": True}, "nc: expected"),
        ({"train_neck": "yes"}, "train_neck: expected true or false, got 'yes'"),
        ({"scale": 2}, "scale: expected a letter"),
        ({"scale": "z"}, "has no scale 'z'\n  it has n, s"),
    ],
)
def test_wrong_model_args_are_explained(arguments, message, create):
    with pytest.raises(ConfigError, match=message):
        create("yolov8n.yaml", **arguments)


def test_a_file_of_the_user_with_a_scale(small_yaml, create):
    narrow, wide = create(small_yaml), create(small_yaml, scale="s", nc=11, train_neck=True)
    assert narrow.feature_dim() == 16
    assert wide.feature_dim() == 2 * 32 + 32
    assert isinstance(wide, NeckWrapper)
    assert wide.get_model().model[-1].nc == 11
    assert len(wide.get_model().names) == 11


def test_weights_have_no_scale(weights, create):
    with pytest.raises(ConfigError, match=r"scale: .* has the size of its weights"):
        create(weights, scale="s")


@pytest.mark.families
def test_another_number_of_classes_changes_the_head_only(weights, create):
    before, after = (create(weights, **a).get_model().state_dict() for a in ({}, {"nc": 5}))
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed
    assert all(key.startswith("model.22.cv3.") for key in changed)


# ------------------------------------------------------------------------------ channels


RESNET_YAML = """
nc: 3
backbone:
  - [-1, 1, ResNetLayer, [3, 16, 1, True, 1]]
  - [-1, 1, Conv, [8, 3, 2]]
head:
  - [-1, 1, Classify, [nc]]
"""


def test_a_description_that_has_the_number_of_channels_itself(create, tmp_path):
    file = tmp_path / "resnet.yaml"
    file.write_text(RESNET_YAML)
    assert probe(create(file, 2), 2, 64).feature_size == (8, 8)


@pytest.mark.families
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_pretrained_weights_see_a_grey_image_as_before(channels, small_weights, create):
    grey = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        before, after = (
            create(small_weights, count).eval().forward_features(grey.expand(-1, count, -1, -1))
            for count in (3, channels)
        )
    torch.testing.assert_close(after["features"], before["features"], rtol=1e-4, atol=1e-5)


# -------------------------------------------------------------------- objects of the user


def test_a_yolo_object_is_wrapped_and_not_copied(weights):
    yolo = upstream("ultralytics").YOLO(weights)
    wrapper = get_wrapped_model(yolo)
    assert wrapper.get_model() is yolo.model
    assert get_wrapped_model(yolo.model).get_model() is yolo.model


def test_frozen_weights_are_trained_and_a_choice_is_kept(weights):
    model = upstream("ultralytics").YOLO(weights).model.requires_grad_(False)
    wrapper = get_wrapped_model(model)
    trainable = {n.split(".")[1] for n, p in model.named_parameters() if p.requires_grad}
    assert trainable == set(map(str, range(10)))
    model.model[0].requires_grad_(False)
    assert get_wrapped_model(wrapper.get_model()) is not wrapper
    assert not any(p.requires_grad for p in model.model[0].parameters())
    assert all(p.requires_grad for p in model.model[1].parameters())


def test_a_fused_model_is_refused(weights):
    model = upstream("ultralytics").YOLO(weights).model.fuse(verbose=False)
    with pytest.raises(ConfigError, match="was fused for inference"):
        get_wrapped_model(model)


def test_other_modules_of_ultralytics_are_refused():
    block = upstream("ultralytics.nn.modules").C2f(8, 8)
    with pytest.raises(
        ConfigError, match=r"C2f is not a model of ultralytics(?s:.*)expected a YOLO"
    ):
        get_wrapped_model(block)


def test_another_number_of_channels_is_refused(weights):
    model = upstream("ultralytics").YOLO(weights).model
    with pytest.raises(ConfigError, match="takes images of 3 channels, but 1 were requested"):
        get_wrapped_model(model, num_input_channels=1)


# -------------------------------------------------------------------------- unsafe files


class Evil:
    """Its pickle creates a file when it is loaded as it is meant."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_file_with_other_objects_is_refused_and_not_run(tmp_path, create):
    file, trace = tmp_path / "best.pt", tmp_path / "trace"
    torch.save({"model": Evil(trace)}, file)
    with pytest.raises(ConfigError, match=r"mkdir.*refused"):
        create(file)
    assert not trace.exists()


@pytest.mark.families
@pytest.mark.parametrize(
    "change",
    [
        {"activation": "__import__('os').mkdir('{trace}')"},
        {"backbone": [[-1, 1, "check_requirements", ["a-package"]]]},
        {"backbone": [[-1, 1, "DetectionModel", ["yolov8n.yaml"]]]},
        {"head": [[-1, 1, "nn.functional", []]]},
    ],
)
def test_a_description_that_does_more_than_describe_is_refused(change, tmp_path, weights, create):
    trace = tmp_path / "trace"
    yolo = upstream("ultralytics").YOLO(weights)
    change = {k: v.format(trace=trace) if isinstance(v, str) else v for k, v in change.items()}
    yolo.model.yaml.update(change)
    yolo.save(weights)
    with pytest.raises(ConfigError, match=r"is no layer|is not understood"):
        create(weights)
    assert not trace.exists()


def test_activations_of_torch_are_allowed(small_yaml):
    config = read_config(small_yaml, "mine")
    for text in ("nn.SiLU()", "torch.nn.LeakyReLU(0.1)", "torch.nn.ReLU(inplace=True)"):
        config["activation"] = text
        check_config(config, "mine")
    assert isinstance(build(config, 3, "mine").model[0].act, nn.ReLU)


def test_damaged_and_foreign_files_are_explained(tmp_path, create, weights):
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes(weights.read_bytes()[:5000])
    plain = tmp_path / "plain.pt"
    torch.save({"state_dict": {"a": torch.zeros(2)}}, plain)
    archive = tmp_path / "archive.pt"
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("a.txt", "text")
    for file, message in (
        (damaged, "damaged.pt cannot be read"),
        (plain, "plain.pt holds no model of ultralytics"),
        (archive, "archive.pt cannot be read"),
    ):
        with pytest.raises(ConfigError, match=message):
            create(file)


@pytest.mark.families
def test_a_file_without_part_of_its_weights_is_refused(tmp_path, create, weights):
    yolo = upstream("ultralytics").YOLO(weights)
    yolo.fuse()
    yolo.save(tmp_path / "fused.pt")
    with pytest.raises(
        ConfigError, match=r"fused.pt: \d+ of \d+ tensors(?s:.*)fused for inference"
    ):
        create(tmp_path / "fused.pt")


@pytest.mark.families
def test_averaged_weights_come_first_and_class_names_are_kept(tmp_path, create, weights):
    yolo = upstream("ultralytics").YOLO(weights)
    average = create("yolov8n.yaml").get_model()
    average.names = {index: f"thing {index}" for index in range(80)}
    file = tmp_path / "last.pt"
    torch.save({"model": yolo.model, "ema": average.half(), "train_args": {"imgsz": 320}}, file)
    model = create(file).get_model()
    assert model.names[7] == "thing 7"
    assert model.args["imgsz"] == 320
    torch.testing.assert_close(model.state_dict(), average.float().state_dict())


# -------------------------------------------------------------------------- side effects

PROBE = """
import logging, os, sys, warnings
import numpy, PIL.Image, torch
import sympy  # Sets a filter for its warnings; torch imports it for shapes without numbers.

def facts():
    return (
        dict(os.environ), PIL.Image.open, list(warnings.filters), numpy.get_printoptions(),
        str(torch._tensor_str.PRINT_OPTS), torch.get_num_threads(), torch.get_default_dtype(),
        torch.get_rng_state().tolist(),
    )

from lightly_ultralytics.library import UltralyticsLibrary
assert "ultralytics" not in sys.modules
before = facts()
from lightly_ultralytics.upstream import upstream
upstream("ultralytics")
names = "environment, image, warnings, numpy, torch printing, threads, dtype, random".split(", ")
for name, old, new in zip(names, before, facts()):
    assert old == new, (name, old, new)
UltralyticsLibrary().create("yolov8n-cls.yaml", num_input_channels=3, model_args={})
for name, old, new in list(zip(names, before, facts()))[:-1]:
    assert old == new, (name, old, new)
assert not upstream("ultralytics.utils").ONLINE
assert upstream("ultralytics").YOLO  # The user's own use still prints.
upstream("ultralytics.utils").LOGGER.info("from ultralytics itself")
"""


@pytest.mark.processes
def test_importing_and_building_is_quiet_and_changes_nothing_else(tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("YOLO_")}
    environment |= {"YOLO_CONFIG_DIR": str(tmp_path)}
    environment.pop("OMP_NUM_THREADS", None)
    result = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "from ultralytics itself\n"


@pytest.mark.families
def test_messages_of_ultralytics_become_debug_messages(create, caplog, capsys):
    with caplog.at_level(logging.DEBUG, logger="lightly_ultralytics"):
        create("yolov8.yaml")
        create("yolov5n6.yaml")
    assert "no model scale passed" in caplog.text
    assert "P6 models now use -p6 suffix" in caplog.text
    assert capsys.readouterr().out == ""


def test_pixels_are_taken_as_they_are():
    wrapper = get_wrapped_model("ultralytics/yolov8n-cls.yaml", num_input_channels=4)
    assert wrapper.input_normalization() == ((0.0,) * 4, (1.0,) * 4)
