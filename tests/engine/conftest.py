"""A tiny network, a folder of tiny images and a short run, for the tests of the engine."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import lightly_core


class TinyWrapper(nn.Module):
    """Two convolutions without batch statistics, so that a batch may be split among processes."""

    def __init__(self, channels=3, width=8):
        super().__init__()
        self.width = width
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, 2, 1),
            nn.GroupNorm(2, width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 2, 1),
            nn.ReLU(),
            nn.Dropout(0.1),
        )

    def forward_features(self, x):
        return {"features": self.body(x)}

    def forward_pool(self, x):
        return {"pooled_features": x["features"].mean((2, 3), keepdim=True)}

    def feature_dim(self):
        return self.width

    def get_model(self):
        return self.body


@pytest.fixture
def tiny_wrapper():
    torch.manual_seed(0)
    return TinyWrapper()


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory):
    """24 noisy images, 24 x 20 pixels, without class folders. Tests do not change them."""
    folder = tmp_path_factory.mktemp("data") / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(24):
        colour = rng.integers(0, 255, 3)
        pixels = np.clip(colour + rng.integers(-40, 40, (20, 24, 3)), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index:02}.png")
    return folder


@pytest.fixture
def own_images(image_folder, tmp_path):
    """A copy of the images, which a test may change."""
    return shutil.copytree(image_folder, tmp_path / "images")


def run_settings(**changes):
    torch.manual_seed(0)
    values = {
        "model": TinyWrapper(),
        "method": "simclr",
        "method_args": {"hidden_dim": 8, "output_dim": 4, "batch_norm": False},
        "transform_args": {"image_size": 16},
        "epochs": 2,
        "batch_size": 8,
        "num_workers": 0,
        "precision": "32-true",
        "accelerator": "cpu",
        "loggers": {"tensorboard": None},
        "trainer_args": {"log_every_n_steps": 1},
    }
    return {**values, **changes}


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

    def read(folder):
        return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]

    return read


@pytest.fixture
def read_metrics(read_lines):
    """Those lines of metrics.jsonl that training wrote, one a logging interval."""

    def read(folder):
        return [line for line in read_lines(folder) if "train_loss" in line]

    return read
