"""A tiny network, a folder of tiny images and a short run, for the tests of the engine."""

import json

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


@pytest.fixture
def image_folder(tmp_path):
    """24 noisy images, 24 x 20 pixels, without class folders."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(24):
        colour = rng.integers(0, 255, 3)
        pixels = np.clip(colour + rng.integers(-40, 40, (20, 24, 3)), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index:02}.png")
    return folder


@pytest.fixture
def short_run(tmp_path, image_folder):
    """Settings of a run that takes about a second; `pretrain(**short_run(...))`."""

    def settings(**changes):
        torch.manual_seed(0)
        values = {
            "out": tmp_path / "out",
            "data": image_folder,
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
        values.update(changes)
        return values

    return settings


@pytest.fixture
def pretrain():
    return lightly_core.pretrain


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
