"""Whole runs on a few images."""

import functools
import http.server
import json
import os
import signal
import threading

import lightning.pytorch as lightning
import pytest
import torch
from short_run import logged, run_settings

import lightly_core
from lightly_core.engine.machine import inspect_machine
from lightly_core.errors import ConfigError, RunInterrupted, UnknownModelError
from lightly_core.models.wrapping import get_wrapped_model
from lightly_core.testing.models import TinyConv


@pytest.fixture
def run(tmp_path, image_folder, conv_teacher):
    """Do a run of six steps."""

    def do(**changes):
        torch.manual_seed(0)
        values = {
            "out": tmp_path / "out",
            "data": image_folder,
            "model": TinyConv(),
            "method": "distillation",
            "method_args": {"teacher": conv_teacher},
            "transform_args": {"image_size": 32},
        }
        return lightly_core.pretrain(**run_settings(**{**values, **changes}))

    return do


@pytest.mark.slow
def test_distillation_is_the_second_version_and_says_so(run, tmp_path):
    run()
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["method"] == "distillationv2"
    assert config["method_args"]["loss"] == "mse"
    assert config["method_args"]["teacher"] == "<lightly_core.testing.models.TinyConv object>"
    assert config["optim"] == "lars"
    native = inspect_machine().cpu_bf16
    assert config["method_args"]["teacher_precision"] == ("bf16" if native else "fp32")
    checkpoint = torch.load(tmp_path / "out/checkpoints/last.ckpt", weights_only=True)
    assert not any("teacher" in name for name in checkpoint["state_dict"])
    assert "Teacher lightly_core.testing" in (tmp_path / "out/train.log").read_text()


class SeesClipping(lightning.Callback):
    value = "not seen"

    def on_train_start(self, trainer, module):
        self.value = trainer.gradient_clip_val


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trainer_args", "expected"),
    [({}, 1.0), ({"gradient_clip_val": 0.5}, 0.5), ({"gradient_clip_val": None}, None)],
)
def test_gradients_are_clipped_to_one_unless_the_user_says_otherwise(
    run, tmp_path, trainer_args, expected
):
    callback = SeesClipping()
    run(epochs=1, trainer_args={"callbacks": [callback], **trainer_args})
    assert callback.value == expected
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["derived"]["gradient_clip_val"] == expected


class Stop(lightning.Callback):
    """Sends Ctrl-C to the process itself in the fourth step."""

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["distillationv1", "distillationv3"])
def test_an_interrupted_run_goes_on_with_its_queue(run, tmp_path, conv_teacher, method):
    settings = {"method": method, "method_args": {"teacher": conv_teacher, "queue_size": 20}}
    run(out=tmp_path / "whole", **settings)

    stopping = {"log_every_n_steps": 1, "callbacks": [Stop()]}
    with pytest.raises(RunInterrupted):
        run(trainer_args=stopping, **settings)
    run(resume_interrupted=True, **settings)
    whole, resumed = (logged(tmp_path / name) for name in ("whole", "out"))
    losses = [
        {line["step"]: line["train_loss"] for line in lines if "train_loss" in line}
        for lines in (whole, resumed)
    ]
    assert losses[0] == losses[1]
    assert max(losses[0]) == 6


@pytest.mark.slow
def test_embed_dim_works_with_the_third_version(run, conv_teacher):
    result = run(method="distillationv3", method_args={"teacher": conv_teacher}, embed_dim=12)
    assert {"train_loss", "train_loss/global", "train_loss/local"} <= result.metrics.keys()


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"method_args": {"teacher": "torchvision/resnet81"}}, UnknownModelError, "resnet18"),
        ({"method_args": {"teacher": "torchvisoin/resnet18"}}, UnknownModelError, "torchvision"),
        (
            {"method": "distillationv1", "method_args": {"queue_size": 24}},
            ConfigError,
            "got 24 for 24 images, expected fewer rows",
        ),
        (
            {"method_args": {"teacher_weights": "a", "teacher_url": "https://host/b"}},
            ConfigError,
            "are both given",
        ),
        ({"transform_args": {"image_size": 8}}, ConfigError, "distillationv1, which needs no map"),
    ],
)
def test_bad_input_is_told_before_anything_is_written(
    run, tmp_path, conv_teacher, changes, error, text
):
    changes["method_args"] = {"teacher": conv_teacher, **changes.get("method_args", {})}
    with pytest.raises(error, match=text):
        run(**changes)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def server(tmp_path):
    """Serve a folder on this machine; gives the folder and its address."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{found.server_port}"
        found.shutdown()


@pytest.mark.slow
def test_a_dinov3_teacher_from_a_signed_address(run, server, tmp_path, monkeypatch):
    folder, address = server
    monkeypatch.setenv("LIGHTLY_CACHE_DIR", str(tmp_path / "cache"))
    small = {"depth": 2, "embed_dim": 48, "num_heads": 2}
    wrapper = get_wrapped_model("dinov3/vits16-notpretrained", model_args=small)
    torch.save(wrapper.get_model().state_dict(), folder / "dinov3_small.pth")
    result = run(
        method_args={
            "teacher": "dinov3/vits16",
            "teacher_args": small,
            "teacher_url": f"{address}/dinov3_small.pth?Policy=SECRET&Signature=SECRET",
        },
        epochs=1,
    )
    assert result.exported
    log = (tmp_path / "out/train.log").read_text()
    assert "tensors from" in log
    assert "dinov3_small.pth, sha256 " in log
    assert "SECRET" not in log
    assert "SECRET" not in (tmp_path / "out/config.json").read_text()
