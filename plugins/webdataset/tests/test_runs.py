"""Runs over shards: the numbers of a folder, and an exact resume after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from pictures import picture
from short_run import logged, run_settings

import lightly_core
from lightly_core.errors import ConfigError

pytestmark = pytest.mark.slow  # runs, with a method of another plugin


def losses(out):
    return [line["train_loss"] for line in logged(out) if "train_loss" in line]


def samples(number):
    return [{"png": picture(index)} for index in range(number)]


def test_a_run_over_shards_has_the_losses_of_the_same_files_in_a_folder(tmp_path, write):
    write(tmp_path / "shards", samples(24), maxcount=10)
    (tmp_path / "files").mkdir()
    for index in range(24):
        (tmp_path / f"files/{index:02}.png").write_bytes(picture(index))
    for name, data in {"a": f"{tmp_path}/files", "b": f"wds:{tmp_path}/shards"}.items():
        lightly_core.pretrain(**run_settings(out=tmp_path / name, data=data, in_memory=False))
    assert losses(tmp_path / "a") == losses(tmp_path / "b") != []


def test_another_buffer_is_another_order_and_refused_when_a_run_is_resumed(tmp_path, write):
    write(tmp_path / "shards", samples(24))
    data = f"wds:{tmp_path}/shards?buffer="
    settings = run_settings(out=tmp_path / "out", data=f"{data}8")
    lightly_core.pretrain(**settings)
    with pytest.raises(ConfigError, match="the order in which images are read has changed"):
        lightly_core.pretrain(**{**settings, "data": f"{data}9"}, resume_interrupted=True)


def train(out, data, callbacks=()):
    """Train with two loader processes; go on if there is a run."""
    changes = {
        "callbacks": {"model_checkpoint": {"every_n_train_steps": 1, "min_seconds_between": 0}},
        "trainer_args": {"callbacks": list(callbacks), "log_every_n_steps": 1},
        "resume_interrupted": Path(out).exists(),
    }
    settings = run_settings(out=out, data=data, num_workers=2, in_memory=False)
    lightly_core.pretrain(**{**settings, **changes})


#: A run that writes a file in its second epoch, and waits there.
PROGRAM = """
import sys, time
out, data, mark, *path = sys.argv[1:]
sys.path[:0] = path
from lightning.pytorch.callbacks import LambdaCallback
from test_runs import train

def wait(trainer, module, outputs, batch, index):
    if trainer.global_step == 5:
        open(mark, "w").close()
        time.sleep(600)

if __name__ == "__main__":
    train(out, data, [LambdaCallback(on_train_batch_end=wait)])
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_run_over_shards_that_is_killed_goes_on_to_the_last_bit(tmp_path, write):
    write(tmp_path / "shards", samples(24))
    data = f"wds:{tmp_path}/shards?buffer=8"
    train(tmp_path / "whole", data)
    words = (tmp_path / "cut", data, tmp_path / "mark", Path(__file__).parent, *sys.path)
    command = [sys.executable, "-c", PROGRAM, *map(str, words)]
    process = subprocess.Popen(command, start_new_session=True)
    deadline = time.monotonic() + 300
    while not (tmp_path / "mark").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert json.loads((tmp_path / "cut/status.json").read_text())["state"] == "running"
    train(tmp_path / "cut", data)
    whole, cut = (
        torch.load(tmp_path / name / "exported_models/exported_last.pt", weights_only=True)
        for name in ("whole", "cut")
    )
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
