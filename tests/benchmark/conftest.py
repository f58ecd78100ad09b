"""A small suite, and rows whose files are made here instead of by training."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from lightly_core.benchmarking import local, planning, runner, state
from lightly_core.benchmarking.planning import Plan
from lightly_core.benchmarking.suite import load_suite
from lightly_core.contracts import Launcher, RowEnd
from lightly_core.plugins.discovery import configure, discover

SUITE = """
name = "tiny"
out = "{folder}/out"

[data]
train = "builtin:digits"

[run]
model = "timm/test_resnet"
epochs = 4
transform_args.image_size = 32

[[rows]]
method = "simclr"
sizes = [{{ batch_size = 64, reference = 0.5 }}, {{ batch_size = 128, epochs = 2 }}]
"""


@pytest.fixture(scope="session")
def catalog():
    return discover().catalog


@pytest.fixture
def suite_file(tmp_path):
    """Write a suite's file; `text` is appended to the small suite, or replaces it."""

    def write(text="", *, whole=None):
        path = tmp_path / "suite.toml"
        path.write_text((SUITE if whole is None else whole).format(folder=tmp_path) + text)
        return path

    return write


@pytest.fixture
def load(catalog, suite_file):
    """Load the small suite, with settings of the command line."""

    def read(*pairs, text="", whole=None, check_paths=True):
        file = suite_file(text, whole=whole)
        return load_suite(catalog=catalog, suite=file, pairs=pairs, check_paths=check_paths)

    return read


def trained(curve=((0, 0.3), (2, 0.6), (4, 0.5)), **changes):
    values = {
        "epochs": 4,
        "batch_size": 64,
        "seconds": 90.0,
        "device_memory": None,
        "process_memory": 2_000_000_000,
        "curves": {"knn/top1": [list(point) for point in curve]} if curve else {},
        "notes": [],
    }
    return {**values, **changes}


def evaluated(knn=0.5, linear=0.7, k=20):
    shared = {"device": "cpu"}
    return [
        {"protocol": "knn", "settings": {"k": k}, "top1": knn, "top5": 0.9, **shared},
        {"protocol": "linear", "settings": {}, "top1": linear, "top5": 0.95, **shared},
    ]


@pytest.fixture
def made():
    """Write the files of a row that has finished."""

    def write(suite, name, training=None, evaluation=None):
        (row,) = (row for row in suite.rows if row.name == name)
        folder = state.RowFolder(suite.folder / name)
        folder.root.mkdir(parents=True, exist_ok=True)
        settings = {"settings": state.binding_settings(row)}
        results = evaluated() if evaluation is None else evaluation
        state.write(folder.settings, settings)
        state.write(folder.trained, training or trained())
        state.write(folder.evaluation, {"results": results})
        state.write(folder.result, {**settings, "evaluation": results})
        return folder

    return write


@pytest.fixture
def training():
    """Make the content of trained.json, with changes."""
    return trained


@pytest.fixture
def evaluation():
    """Make the content of evaluation.json, with changes."""
    return evaluated


@pytest.fixture
def plan_here(monkeypatch):
    """Let this process do from now on what a process of its own would do to plan the rows."""

    def run(command, *, input, **options):
        assert command[1:] == ["-m", "lightly_core.benchmarking.planning"]
        printed = io.StringIO()
        with monkeypatch.context() as patch, contextlib.redirect_stdout(printed):
            patch.setattr(sys, "stdin", io.StringIO(input))
            planning._main()
        return subprocess.CompletedProcess(command, 0, printed.getvalue(), "")

    yield lambda: monkeypatch.setattr(planning, "subprocess", SimpleNamespace(run=run))
    configure()


@pytest.fixture
def workers(monkeypatch, made):
    """Replace the processes: `workers.acts[name]` is called in place of a row's process."""

    class Workers:
        def __init__(self):
            self.jobs = []
            self.acts = {}
            self.suite = None
            self.stops = []
            self.capacity = 1
            self.elsewhere = False

    workers = Workers()

    class FakeLauncher(Launcher):
        """Each row acts, and ends when the suite looks."""

        def __init__(self, config, suite):
            super().__init__(config, suite)
            self.started = []
            self.elsewhere = workers.elsewhere

        @property
        def capacity(self):
            return workers.capacity

        def submit(self, jobs):
            self.started += jobs

        def wait(self, seconds):
            ends = []
            for started in self.started:
                job = json.loads(started.job.read_text())
                workers.jobs.append(job)
                act = workers.acts.get(started.name)
                if act is None:
                    made(workers.suite, started.name)
                end = 0 if act is None else act(job) or 0
                lost = isinstance(end, str)
                ends.append(RowEnd(started.name, None if lost else end, end if lost else ""))
            self.started = []
            return ends

        def stop(self, names, how):
            workers.stops.append((tuple(names), how))

        def close(self):
            pass

    def plan_rows(rows, blocked, machine):
        return [Plan(steps=7, batch_size=64, accelerator="cpu") for _ in rows]

    monkeypatch.setattr(local, "LocalLauncher", FakeLauncher)
    monkeypatch.setattr(runner, "plan_rows", plan_rows)
    return workers
