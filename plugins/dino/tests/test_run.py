"""Whole runs on a few images."""

import json
import os
import signal

import lightning.pytorch as lightning
import numpy as np
import pytest
import torch
from PIL import Image

import lightly_core
from lightly_core.errors import ConfigError, MissingCapabilityError, RunInterrupted
from lightly_core.testing import TinyConv, TinyTokens

SMALL = {"hidden_dim": 32, "bottleneck_dim": 16, "output_dim": 24}


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(16):
        pixels = rng.integers(0, 255, (20, 24, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02}.png")
    return folder


@pytest.fixture
def run(tmp_path, images):
    """Do a run of six steps."""

    def do(method="dino", model=TinyConv, **changes):
        torch.manual_seed(0)
        values = {
            "out": tmp_path / "out",
            "data": images,
            "model": model(),
            "method": method,
            "method_args": SMALL,
            "transform_args": {"image_size": 32, "local_view": {"view_size": 16, "num_views": 2}},
            "epochs": 3,
            "batch_size": 8,
            "num_workers": 0,
            "precision": "32-true",
            "accelerator": "cpu",
            "loggers": {"tensorboard": None},
            "callbacks": {"signals": None},
            "trainer_args": {"log_every_n_steps": 1},
        }
        return lightly_core.pretrain(**{**values, **changes})

    return do


class Stop(lightning.Callback):
    """Sends Ctrl-C to the process itself in the fourth step."""

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGINT)


def losses_of(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["train_loss"] for line in lines if "train_loss" in line}


@pytest.mark.slow
def test_the_exported_file_is_the_teacher(run, tmp_path):
    result = run()
    checkpoint = torch.load(tmp_path / "out/checkpoints/last.ckpt", weights_only=True)
    state = checkpoint["state_dict"]
    exported = torch.load(result.exported[0], weights_only=True)
    for name, tensor in exported.items():
        assert torch.equal(tensor, state[f"method.teacher.backbone._model.{name}"])
    assert not torch.equal(
        exported["0.0.weight"].cpu(), state["method.model._model.0.0.weight"].cpu()
    )
    assert any(name.startswith("method.teacher.head") for name in state)


@pytest.mark.slow
def test_the_arguments_of_the_documentation_work(run, tmp_path):
    run(epochs=1, method_args={**SMALL, "teacher_momentum": 0.996, "student_temp": 0.1})
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["method_args"]["momentum_start"] == 0.996
    assert config["method_args"]["student_temp"] == 0.1
    assert config["method_args"]["teacher_temp"] == 0.02
    assert config["derived"]["gradient_clip_val"] == 3.0


@pytest.mark.families
@pytest.mark.parametrize(
    ("method", "model", "options"),
    [
        ("dino", TinyConv, {"freeze_last_layer_steps": 2}),
        ("dinov2", TinyTokens, {"anchor_weight": 0.5, "head_warmup_steps": 2}),
        ("dinov3", TinyTokens, {"gram_start_step": 1, "gram_refresh_steps": 2}),
    ],
)
def test_an_interrupted_run_goes_on_exactly(run, tmp_path, method, model, options):
    settings = {"method": method, "model": model, "method_args": {**SMALL, **options}}
    whole = run(out=tmp_path / "whole", **settings)
    with pytest.raises(RunInterrupted):
        run(trainer_args={"log_every_n_steps": 1, "callbacks": [Stop()]}, **settings)
    resumed = run(resume_interrupted=True, **settings)
    assert losses_of(tmp_path / "out") == losses_of(tmp_path / "whole")
    assert max(losses_of(tmp_path / "out")) == 6
    first, second = (torch.load(r.exported[0], weights_only=True) for r in (whole, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        (
            {"method": "ibot"},
            MissingCapabilityError,
            "method 'ibot' needs a model with patch tokens",
        ),
        (
            {"method": "dinov2", "model": TinyTokens, "transform_args": {"image_size": 30}},
            ConfigError,
            "patches of 8, expected sides that are multiples of 8",
        ),
        ({"transform_args": {"num_views": 1}}, ConfigError, "num_views"),
        ({"batch_size": 1}, ConfigError, "needs at least 2 images in a batch"),
        ({"method_args": {"teacher_tmp": 0.1}}, ConfigError, "teacher_temp"),
    ],
)
def test_bad_input_is_told_before_anything_is_written(run, tmp_path, changes, error, text):
    with pytest.raises(error, match=text):
        run(**changes)
    assert not (tmp_path / "out").exists()
