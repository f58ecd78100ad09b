"""`lightly advise`: from the command line and from Python, with evidence that is made up."""

import json
import shlex

import numpy as np
import pytest
from attrs import evolve
from PIL import Image
from short_run import TinyWrapper
from torch import nn

import lightly_core
from lightly_core.advising import measuring, run
from lightly_core.advising.evidence import Case, Result, Row
from lightly_core.advising.measuring import pixels_of
from lightly_core.cli.main import main
from lightly_core.config.auto.machine import Machine
from lightly_core.config.reading.load import load_settings
from lightly_core.data.sources import open_source
from lightly_core.diagnosing.settings import unwritten_settings
from lightly_core.errors import ConfigError, DataError
from lightly_core.plugins.discovery import get_plugins

CASE = Case(
    name="made-up", data_set="D", images=2_000, side=32, model="a/b", network="convolutional"
)
RESULT = Result(
    case="made-up", images_seen=10_000, method="byol", recipe="small", seed=0, untrained=20.0,
    knn=40.0, untrained_linear=20.0, linear=40.0, num_test=1_000, minutes=1.0, commit="0e12345",
)  # fmt: skip
ROW = Row(CASE, (RESULT,))
CPU = Machine(cpus=4)


@pytest.fixture
def evidence(monkeypatch):
    """The rows, and the speed that is measured: 100 images a second."""
    rows = [ROW]
    measured = []

    def measure(settings, source, machine, catalog, seconds):
        measured.append(settings)
        return measuring.Speed(100.0, settings.run.batch_size, "training 100 images/s")

    monkeypatch.setattr(run, "read_evidence", lambda: rows)
    monkeypatch.setattr(run, "inspect_machine", lambda: CPU)
    monkeypatch.setattr(measuring, "measure_speed", measure)
    return rows, measured


@pytest.mark.slow
def test_the_advice_is_text_that_names_its_row_and_a_command_that_runs(evidence, capsys):
    assert main(["advise", "data=builtin:digits", "hours=0.5"]) == 0
    out = capsys.readouterr().out
    # 0.9 * 1800 s * 100 images/s = 162,000 images, 90 times 1,797
    assert "90, 161,730 images seen" in out
    assert "kNN from 20.0 to 40.0 %, +20.0 points, standard error 2.0 (1,000 test images" in out
    assert "2,000 images against 1,797 (factor 1.1)" in out
    assert "the run sees 16 times as many images" in out
    assert "90 epochs fit into 0.5 hours; 200 would be taken" in out
    words = shlex.split(out.strip().splitlines()[-1])
    assert words[:3] == ["lightly", "run", "out=out/first"]
    settings = load_settings(catalog=get_plugins().catalog, pairs=words[2:])
    assert (settings.run.method, settings.run.recipe, settings.run.epochs) == ("byol", "small", 90)
    assert settings.run.model_args == {"small_stem": True}
    assert settings.transform.size == (32, 32)


def test_json_has_the_settings_and_the_evidence(evidence, capsys):
    assert main(["advise", "data=builtin:digits", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["settings"]["epochs"] == 180
    assert data["evidence"][0]["case"]["name"] == "made-up"
    assert data["nearness"]["images"] == pytest.approx(2_000 / 1_797)
    assert (data["recipe"], data["seconds"]) == ("small", pytest.approx(180 * 17.97))


def test_what_was_measured_is_the_advised_run(evidence):
    advice = lightly_core.advise(data="builtin:digits")
    (measured,) = evidence[1]
    again = unwritten_settings(advice.settings, get_plugins().catalog)
    assert measured.method == again.method
    assert measured.transform == again.transform
    assert measured.run.recipe == again.run.recipe == "small"


@pytest.mark.slow
def test_a_method_that_is_better_in_the_time_is_measured_too(evidence):
    rows, measured = evidence
    long = evolve(RESULT, method="simclr", images_seen=10**6, knn=70.0)
    rows += [Row(CASE, (long,)), Row(CASE, (evolve(long, method="byol", knn=60.0),))]
    advice = lightly_core.advise(data="builtin:digits", hours=0.5)
    assert [settings.run.method for settings in measured] == ["simclr", "byol"]
    assert (advice.settings["method"], advice.evidence) == ("byol", (ROW,))
    short = str(lightly_core.advise(data="builtin:digits", hours=0.001))
    assert "is too little for the row: it saw 1,000,000 images" in short
    assert "one epoch takes about 18 seconds, longer than 0.001 hours" in short


@pytest.mark.parametrize(
    ("change", "settings", "expected"),
    [
        ({"images": 10**7}, {}, "no measured short run is near enough"),
        ({"network": "transformer"}, {}, "yours is not transformer"),
        ({}, {"method": "vicreg"}, "no measured short run has this method"),
        ({"images": 10**7}, {"method": "byol"}, "byol is taken, as you named it"),
    ],
)
def test_what_the_evidence_does_not_cover_is_said(evidence, change, settings, expected):
    evidence[0][:] = [Row(evolve(CASE, **change), (RESULT,))]
    advice = lightly_core.advise(data="builtin:digits", **settings)
    assert advice.evidence == ()
    assert "recipe" not in advice.settings
    assert advice.settings["method"] == settings.get("method", "distillation")
    assert expected in str(advice)
    if not settings:
        assert "the default, see docs/choosing-a-method.md" in str(advice)


@pytest.mark.slow
def test_on_a_gpu_views_are_larger_and_the_batch_is_one_that_fits(evidence, monkeypatch, tmp_path):
    from PIL import Image

    for number in range(200):
        Image.new("RGB", (300, 250), (number, 0, 0)).save(tmp_path / f"{number}.png")
    monkeypatch.setattr(run, "inspect_machine", lambda: Machine(cpus=8, cuda_devices=2))
    few = measuring.Speed(1e4, 64, "training 10,000 images/s")
    monkeypatch.setattr(measuring, "measure_speed", lambda *args: few)
    advice = lightly_core.advise(data=tmp_path, model="torchvision/resnet18")
    assert advice.settings["transform_args"] == {"image_size": 224}
    assert advice.settings["batch_size"] == 64
    assert "128 do not fit into the GPU" in str(advice)
    assert "the run takes all 2" in str(advice)


def test_objects_of_python_are_advised_on_and_notebooks_show_it(evidence):
    advice = lightly_core.advise(data="builtin:digits", model=TinyWrapper())
    assert advice.command == 'lightly_core.pretrain(out="out/first", **advice.settings)'
    assert unwritten_settings(advice.settings, get_plugins().catalog).run.epochs == 180
    assert json.dumps(advice.as_dict())
    assert "<strong>Evidence</strong>" in advice._repr_html_()
    assert max(map(len, advice.text(70).splitlines()[:-1])) <= 70


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"data": "missing"}, "config.data"),
        ({"data": "builtin:digits", "model_args": {"a": 1}}, "no effect without a model"),
        ({"data": "builtin:digits", "method": "simclrr"}, "did you mean 'simclr'"),
        ({"data": "builtin:digits", "hours": 0}, "config.hours"),
        ({"data": "builtin:digits", "hour": 1}, "unknown key 'hour', did you mean 'hours'?"),
        ({}, "config.data"),
    ],
)
def test_mistakes_are_refused_before_anything_is_measured(settings, expected, monkeypatch):
    monkeypatch.setattr(run, "advised", None)
    with pytest.raises(ConfigError) as refused:
        lightly_core.advise(**settings)
    assert expected in str(refused.value)


def test_images_of_which_none_can_be_read_are_refused(tmp_path):
    (tmp_path / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match=r"none of 1 images tried can be read: 1\.png"):
        lightly_core.advise(data=tmp_path)


# --------------------------------------------------------------------------- measurements


def settings_of(model, **more):
    given = {"data": "builtin:digits", "method": "simclr", "model": model, **more}
    return unwritten_settings(given, get_plugins().catalog)


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("torchvision/resnet18", "convolutional"),
        ("timm/test_resnet", "convolutional"),
        ("timm/test_vit", "transformer"),
        ("torchvision/swin_t", None),
    ],
)
def test_the_kind_of_a_network(model, kind):
    assert measuring.kind_of_network(settings_of(model), get_plugins().catalog) == kind


def test_a_module_is_convolutional_by_its_parameters():
    layers = nn.Conv2d(3, 8, 3), nn.Linear(8, 8)
    assert measuring.is_convolutional(nn.Sequential(*layers))
    assert not measuring.is_convolutional(nn.Sequential(*layers, nn.Linear(64, 64)))


@pytest.mark.slow
def test_the_speed_of_a_small_network_is_measured():
    settings = settings_of(TinyWrapper(), epochs=1, accelerator="cpu", batch_size=32)
    source = open_source("builtin:digits", num_channels=3)
    speed = measuring.measure_speed(settings, source, CPU, get_plugins().catalog, 0.05)
    assert speed.per_second > 1
    assert speed.batch_size == 32
    assert "measured on this CPU" in speed.text


@pytest.mark.slow
def test_weights_that_would_be_downloaded_are_not():
    settings = settings_of("torchvision/resnet18", method="distillation", accelerator="cpu")
    source = open_source("builtin:digits", num_channels=3)
    speed = measuring.measure_speed(settings, source, CPU, get_plugins().catalog, 0.05)
    assert speed.per_second is None
    assert "would download weights" in speed.text


def test_images_are_grey_if_most_have_equal_channels():
    grey, colour = Image.new("L", (4, 3)), Image.new("RGB", (4, 3), (9, 9, 8))
    equal = np.full((3, 4, 3), 7, np.uint8)
    assert pixels_of([grey, equal, colour]) == "grey"
    assert pixels_of([grey, colour]) == pixels_of([colour]) == "colour"
