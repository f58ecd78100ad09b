"""Plugins get the facts and the status of every run."""

import importlib.util
import json
from pathlib import Path

import pytest
from short_run import run_settings, write_images

import lightly_core
from lightly_core import hookimpl
from lightly_core.plugins.discovery import get_plugins

EXAMPLE = Path(__file__).parents[2] / "examples/run_list_plugin/src/acme_runs/plugin.py"


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / "images")


@pytest.fixture
def add_hooks():
    """Adds an object with hooks to the plugins of this process, for one test."""
    manager, added = get_plugins()._manager, []

    def add(hooks):
        manager.register(hooks)
        added.append(hooks)

    yield add
    for hooks in added:
        manager.unregister(hooks)


class Recorder:
    def __init__(self):
        self.starts, self.ends = [], []

    @hookimpl
    def lightly_run_start(self, run):
        self.starts.append(run)

    @hookimpl
    def lightly_run_end(self, run):
        self.ends.append(run)


@pytest.mark.slow
def test_a_finished_run_is_reported_at_its_start_and_its_end(tmp_path, images, add_hooks):
    recorder, out = Recorder(), tmp_path / "out"
    add_hooks(recorder)
    lightly_core.pretrain(out=out, data=images, **run_settings())
    (start,), (end,) = recorder.starts, recorder.ends
    assert (start.status, end.status) == ("running", "finished")
    assert (end.out, end.method, end.total_steps) == (out, "simclr", 6)
    assert (end.rank, end.world_size, end.resumed) == (0, 1, False)
    assert dict(end.config) == json.loads((out / "config.json").read_text())


@pytest.mark.slow
def test_a_failed_run_is_reported_as_one(tmp_path, images, add_hooks):
    recorder = Recorder()
    add_hooks(recorder)
    settings = run_settings(optim_args={"lr": 1e30}, method_args={"batch_norm": False})
    with pytest.raises(lightly_core.RunError):
        lightly_core.pretrain(out=tmp_path / "out", data=images, **settings)
    assert [run.status for run in recorder.ends] == ["failed"]


@pytest.mark.slow
def test_the_example_lists_runs_beside_their_folders(tmp_path, images, add_hooks):
    spec = importlib.util.spec_from_file_location("acme_runs_plugin", EXAMPLE)
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    add_hooks(plugin)
    for name in ("first", "second"):
        lightly_core.pretrain(out=tmp_path / name, data=images, **run_settings(epochs=1))
    lines = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert [(line["out"], line["status"], line["steps"]) for line in lines] == [
        ("first", "finished", 3),
        ("second", "finished", 3),
    ]
