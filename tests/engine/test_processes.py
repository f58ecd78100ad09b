"""Runs in processes of their own: two of them together, and one that gets Ctrl-C."""

import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent


def start(arguments):
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


@pytest.mark.processes
def test_two_processes_give_the_losses_of_one(image_folder, tmp_path, read_metrics):
    script = HERE / "parity_run.py"
    runpy.run_path(str(script))["train"](tmp_path / "1", image_folder, devices=1)
    process = start([script, tmp_path / "2", image_folder])
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    one, two = (read_metrics(tmp_path / devices) for devices in ("1", "2"))
    assert [line["step"] for line in one] == [line["step"] for line in two] == [1, 2, 3, 4, 5, 6]
    for name in ("train_loss", "grad_norm"):
        assert [line[name] for line in one] == pytest.approx([line[name] for line in two], rel=1e-4)
    weights = [
        torch.load(tmp_path / d / "exported_models/exported_last.pt", weights_only=True)
        for d in ("1", "2")
    ]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], rtol=1e-3, atol=1e-5)


@pytest.mark.processes
def test_ctrl_c_saves_and_exits_with_130_and_the_run_can_go_on(image_folder, tmp_path):
    out = tmp_path / "out"
    command = [
        "-m", "lightly_core.cli", "run", f"out={out}", f"data={image_folder}",
        "model=timm/test_resnet", "method=simclr", "batch_size=8", "num_workers=1",
        "transform_args.image_size=32", "accelerator=cpu", "trainer_args.log_every_n_steps=1",
    ]  # fmt: skip
    process = start([*command, "epochs=1000"])
    metrics = out / "metrics.jsonl"
    deadline = time.monotonic() + 240
    while not (metrics.exists() and metrics.read_text().count("\n") >= 2):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    checkpoint = torch.load(out / "checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] >= 2
