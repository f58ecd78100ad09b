"""A run of a tenth of a second: its images, its network, its settings, and what it has logged."""

import json

import numpy as np
import torch
from PIL import Image
from torch import nn

from lightly_core.contracts import ModelWrapper


class TinyWrapper(ModelWrapper):
    """Two convolutions without batch statistics, so that a batch may be split among processes.

    With dropout each process draws other numbers.
    """

    def __init__(self, channels=3, width=8, *, dropout=0.1):
        super().__init__()
        self.width = width
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, 2, 1),
            nn.GroupNorm(2, width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 2, 1),
            nn.ReLU(),
            nn.Dropout(dropout),
        )

    def forward_features(self, x):
        return {"features": self.body(x)}

    def forward_pool(self, x):
        return {"pooled_features": x["features"].mean((2, 3), keepdim=True)}

    def feature_dim(self):
        return self.width

    def get_model(self):
        return self.body


def write_images(folder, seed=0):
    """Write 24 noisy images, 24 x 20 pixels, without class folders; return their folder."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for index in range(24):
        colour = rng.integers(0, 255, 3)
        pixels = np.clip(colour + rng.integers(-40, 40, (20, 24, 3)), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index:02}.png")
    return folder


def run_settings(**changes):
    """Settings of six steps with SimCLR; only `out` and `data` are left to give."""
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


def logged(folder):
    """All lines of metrics.jsonl."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
