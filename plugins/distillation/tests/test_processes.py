"""Whole runs in two processes give what one gives."""

import os
from unittest import mock

import pytest
import torch
from short_run import TinyWrapper, logged, run_settings

import lightly_core
from lightly_core.testing import shared_pair

pytestmark = pytest.mark.processes


def train(out, data, method, devices=1, **options):
    """Do a run of six steps in this process, alone or as one of `devices`."""
    torch.manual_seed(0)
    if method != "distillationv2":
        options["queue_size"] = 20
    model, teacher = (TinyWrapper(width=width, dropout=0.0) for width in (8, 6))
    settings = {
        "model": model,
        "method": method,
        # Each process blends the images that it has.
        "method_args": {"teacher": teacher, "mixup": False, "teacher_precision": "fp32", **options},
        "optim": "sgd",
        "optim_args": {"lr": 0.5},
        "devices": devices,
        "strategy": "auto" if devices == 1 else "ddp",
    }
    lightly_core.pretrain(**run_settings(out=out, data=data, **settings))


def train_together(rank, out, data, method, options):
    # Lightning then starts no process, as under torchrun.
    with mock.patch.dict(os.environ, {"LOCAL_RANK": str(rank)}):
        train(out, data, method, devices=2, **options)


def metrics_of(folder, name):
    return [line[name] for line in logged(folder) if name in line]


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
