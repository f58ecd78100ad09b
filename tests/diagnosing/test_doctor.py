"""`lightly doctor`: the report, from the command line and from Python."""

import re
from importlib.metadata import version
from types import SimpleNamespace

import pytest
from short_run import TinyWrapper, write_images

import lightly_core
from lightly_core.cli.main import main
from lightly_core.config.auto.machine import Machine
from lightly_core.diagnosing import images as images_room
from lightly_core.diagnosing import run, versions
from lightly_core.diagnosing.batch import Largest
from lightly_core.diagnosing.images import Network, network_section
from lightly_core.diagnosing.plugins import plugin_states
from lightly_core.errors import ConfigError
from lightly_core.plugins.catalog import Catalog
from lightly_core.plugins.discovery import discover, get_plugins
from lightly_core.plugins.records import FormatRecord


@pytest.fixture
def images(tmp_path):
    """24 images, one of which is broken."""
    folder = write_images(tmp_path / "images")
    (folder / "07.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


def test_without_images_it_reports_the_installation(capsys):
    assert main(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"\n torch {version('torch')}\n" in re.sub(" +", " ", out)
    for text in ("lightly-core", "precision", "loaded"):
        assert text in out
    assert "give data=FOLDER" in out


def test_images_are_read_and_broken_ones_named(images, capsys):
    words = ["method=simclr", "transform_args.image_size=64", "accelerator=cpu"]
    assert main(["doctor", f"data={images}", *words]) == 0
    out = capsys.readouterr().out
    for text in ("24 in", "images/s in one process, of 23 images", "1 of 24: '07.png'", "decoding"):
        assert text in out
    assert "num_workers=auto" in out
    assert "in_memory" in out


def test_the_report_is_data_text_and_html(images):
    report = lightly_core.doctor(data=images, model=TinyWrapper(), num_images=4, accelerator="cpu")
    data = report.as_dict()
    assert data["Images"]["rows"]["images"].startswith("24 in ")
    assert "as a CPU has no memory of its own" in data["Network"]["rows"]["largest batch"]
    assert all(title in str(report) for title in data)
    assert max(map(len, report.sections[2].text(60).splitlines())) <= 60
    assert "<strong>Devices</strong>" in report._repr_html_()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"model": "torchvision/resnet18"}, "config.model: it has no effect without images"),
        ({"data": "builtin:digits", "model_args": {"a": 1}}, "no effect without a model"),
        ({"data": "missing"}, "config.data"),
        ({"data": "builtin:digits", "method": "simclrr"}, "did you mean 'simclr'"),
        ({"data": "builtin:digits", "batch_size": 0}, "config.batch_size"),
        ({"dat": "x"}, "unknown key 'dat', did you mean 'data'?"),
    ],
)
def test_mistakes_are_refused_before_anything_is_measured(settings, expected, monkeypatch):
    monkeypatch.setattr(run, "diagnose", None)
    with pytest.raises(ConfigError) as refused:
        lightly_core.doctor(**settings)
    assert expected in str(refused.value)


def test_on_a_gpu_the_network_is_tried(images, monkeypatch):
    tried = []

    def measure(settings, source, machine, catalog):
        tried.append(settings.run.batch_size)
        return Network(Largest(96, 102), 32, 1e6)

    machine = Machine(cpus=8, cuda_devices=2, cuda_bf16=True)
    monkeypatch.setattr(images_room, "measure_network", measure)
    monkeypatch.setattr(run, "inspect_machine", lambda: machine)
    monkeypatch.setattr(run, "devices", lambda machine: versions.versions())
    report = lightly_core.doctor(data=images, model=TinyWrapper(), batch_size=32, num_images=2)
    assert tried == [32]
    text = str(report)
    assert "96 images fit, 102 do not fit" in text
    assert "batch_size may be up to 192 (96 on each of 2 GPUs)" in text
    assert "the network trains on 1,000,000 images/s and will wait" in text


def test_a_network_that_does_not_fit_is_reported(images):
    from lightly_core.config.options.doctor import DoctorConfig
    from lightly_core.diagnosing.settings import run_settings

    config = DoctorConfig(data=str(images), model="torchvision/resnet18", method="simclr")
    settings = run_settings(config, get_plugins().catalog)
    section = network_section(settings, Network(Largest(None, 1), 0, 0.0), 1)
    assert "a batch of one image does not fit" in section.text(None)


def test_plugins_that_are_not_loaded_have_their_reason():
    section = plugin_states(discover(block=["torchvision"]))
    assert "blocked" in dict(section.rows)["torchvision"]
    assert any("lightly plugins -v" in sentence for sentence in section.advice)


def test_what_lacks_the_same_packages_is_one_row_with_three_names():
    catalog = Catalog()
    with catalog.registering(plugin="toy", distribution="toy-plugin", root="toy"):
        for names, requires in (
            ("abcde", ("no-such-package>=3",)),
            ("fgh", ("torch", "no-such-package>=3", "another-one")),
            ("i", ("torch",)),
        ):
            for name in names:
                catalog.add(
                    FormatRecord(name=name, target="toy:F", summary="S.", requires=requires)
                )
    section = plugin_states(SimpleNamespace(catalog=catalog, statuses=()))
    assert section.rows == (
        ("loaded", "none"),
        (
            "not usable",
            "export format 'a', export format 'b', export format 'c' and 2 more; pip install "
            "'no-such-package>=3'",
        ),
        (
            "not usable",
            "export format 'f', export format 'g', export format 'h'; pip install "
            "'no-such-package>=3' 'another-one'",
        ),
    )
    assert "no plugin is loaded" in section.advice[0]
