"""Whole runs in two processes give what one gives."""

import json
import os
from unittest import mock

import pytest
import torch
from torch import nn

import lightly_core
from lightly_core.testing import shared_pair

pytestmark = pytest.mark.processes


class Net(nn.Module):
    """No batch statistics: those are taken per process on a CPU."""

    def __init__(self, width):
        super().__init__()
        self.width = width
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, width, 3, 2, 1)
        )

    def forward_features(self, x):
        return {"features": self.body(x)}

    def forward_pool(self, x):
        return {"pooled_features": x["features"].mean((2, 3), keepdim=True)}

    def feature_dim(self):
        return self.width

    def get_model(self):
        return self.body


def train(out, data, method, devices=1, **options):
    """Do a run of six steps in this process, alone or as one of `devices`."""
    torch.manual_seed(0)
    if method != "distillationv2":
        options["queue_size"] = 20
    lightly_core.pretrain(
        out=out,
        data=data,
        model=Net(8),
        method=method,
        # Each process blends the images that it has.
        method_args={"teacher": Net(6), "mixup": False, "teacher_precision": "fp32", **options},
        optim="sgd",
        optim_args={"lr": 0.5},
        transform_args={"image_size": 16},
        epochs=2,
        batch_size=8,
        num_workers=0,
        accelerator="cpu",
        devices=devices,
        strategy="auto" if devices == 1 else "ddp",
        precision="32-true",
        loggers={"tensorboard": None},
        trainer_args={"log_every_n_steps": 1},
    )


def train_together(rank, out, data, method, options):
    # Lightning then starts no process, as under torchrun.
    with mock.patch.dict(os.environ, {"LOCAL_RANK": str(rank)}):
        train(out, data, method, devices=2, **options)


@pytest.fixture
def image_folder(tmp_path, make_image_folder):
    return make_image_folder(tmp_path / "images")


def metrics_of(folder, name):
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line[name] for line in lines if name in line]


@pytest.mark.parametrize("method", ["distillationv1", "distillationv2", "distillationv3"])
def test_two_processes_give_the_losses_of_one(image_folder, tmp_path, method):
    train(tmp_path / "1", image_folder, method)
    shared_pair().run(train_together, tmp_path / "2", image_folder, method, {})
    for name in ("train_loss", "teacher/cosine"):
        one, two = (metrics_of(tmp_path / devices, name) for devices in ("1", "2"))
        assert len(one) == 6
        assert one == pytest.approx(two, rel=1e-4)
    one, two = (
        torch.load(tmp_path / devices / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for devices in ("1", "2")
    )
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, two[name], rtol=1e-3, atol=1e-5)


def test_two_processes_fill_one_cache(image_folder, tmp_path):
    options = {"cache": 1, "cache_dir": str(tmp_path / "c")}
    shared_pair().run(train_together, tmp_path / "2", image_folder, "distillationv3", options)
    train(tmp_path / "1", image_folder, "distillationv3", **options)
    one, two = (metrics_of(tmp_path / devices, "train_loss") for devices in ("1", "2"))
    assert one == pytest.approx(two, rel=1e-4)
    assert "(100 % written" in (tmp_path / "1/train.log").read_text()
