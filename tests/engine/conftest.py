"""A tiny network, a folder of tiny images and a short run, for the tests of the engine."""

import shutil
from types import SimpleNamespace

import pytest
import torch
from short_run import TinyWrapper, logged, run_settings, write_images

import lightly_core


@pytest.fixture
def tiny_wrapper():
    torch.manual_seed(0)
    return TinyWrapper()


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory):
    """The images of a short run. Tests do not change them."""
    return write_images(tmp_path_factory.mktemp("data") / "images")


@pytest.fixture
def own_images(image_folder, tmp_path):
    """A copy of the images, which a test may change."""
    return shutil.copytree(image_folder, tmp_path / "images")


@pytest.fixture(scope="session")
def settings_of():
    """Settings of a short run but for `out` and `data`, for fixtures of a module."""
    return run_settings


@pytest.fixture
def short_run(tmp_path, image_folder):
    """Settings of a run that takes a tenth of a second; `pretrain(**short_run(...))`."""

    def settings(**changes):
        return run_settings(**{"out": tmp_path / "out", "data": image_folder, **changes})

    return settings


@pytest.fixture
def pretrain():
    return lightly_core.pretrain


@pytest.fixture(scope="session")
def finished(tmp_path_factory, image_folder):
    """A run of `short_run()` for tests that only look: `result`, `before` and `after`.

    The last two are the weights of the user's module before and after the run.
    """
    settings = run_settings(out=tmp_path_factory.mktemp("finished") / "out", data=image_folder)
    body = settings["model"].get_model()
    before = {name: tensor.clone() for name, tensor in body.state_dict().items()}
    result = lightly_core.pretrain(**settings)
    return SimpleNamespace(result=result, before=before, after=body.state_dict())


@pytest.fixture
def finished_out(finished, short_run):
    """The folder of `short_run()`, as if that run had been made there."""
    return shutil.copytree(finished.result.folder, short_run()["out"])


@pytest.fixture
def read_lines():
    """All lines of metrics.jsonl."""
    return logged


@pytest.fixture
def read_metrics():
    """Those lines of metrics.jsonl that training wrote, one a logging interval."""

    def read(folder):
        return [line for line in logged(folder) if "train_loss" in line]

    return read
