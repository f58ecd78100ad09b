"""Real processes, from the command to the tables."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

SUITE = """
name = "whole"
out = "{folder}/out"
data.train = "builtin:digits"

[run]
model = "timm/test_resnet"
num_workers = 0
batch_size = 256
accelerator = "cpu"
transform_args.image_size = 16
callbacks.knn.every_n_epochs = 1
callbacks.signals = false
loggers.tensorboard = false

[evaluate]
knn = {{ k = 5 }}

[[rows]]
method = "distillationv1"
method_args = {{ teacher = "timm/test_resnet", teacher_weights = "missing.pt" }}
epochs = 1

[[rows]]
method = "simclr"
epochs = {epochs}
"""


def start(suite, *words):
    command = [sys.executable, "-m", "lightly_core.cli", "benchmark", str(suite), *words]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_for(found, process, seconds=400):
    end = time.monotonic() + seconds
    while not found():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_suite_is_interrupted_goes_on_and_ends_with_its_tables(tmp_path):
    suite = tmp_path / "suite.toml"
    suite.write_text(SUITE.format(folder=tmp_path, epochs=12))
    out = tmp_path / "out"
    metrics = out / "simclr/run/metrics.jsonl"

    process = start(suite)
    wait_for(lambda: metrics.exists() and '"step": 14' in metrics.read_text(), process)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=400)
    assert process.returncode == 130, said
    assert "stopped in row 'simclr'" in said
    assert (out / "simclr/run/checkpoints/last.ckpt").is_file()
    assert "- simclr: not finished" in (out / "results.md").read_text()
    assert "distillationv1: FAILED" in said

    process = start(suite)
    said, _ = process.communicate(timeout=400)
    assert process.returncode == 1, said  # the other row still fails
    assert "[2/2] simclr: going on" in said
    with (out / "results.csv").open(newline="") as file:
        failed, finished = csv.DictReader(file)
    assert (failed["State"], finished["State"]) == ("failed", "finished")
    assert "missing.pt" in failed["Notes"]
    assert "2 sessions" in finished["Notes"]
    assert (finished["Epochs"], finished["Batch Size"]) == ("12", "256")
    result = json.loads((out / "simclr/result.json").read_text())
    curve = dict(result["trained"]["curves"]["knn/top1"])
    assert list(curve) == [float(epoch) for epoch in range(13)]
    # The curve and the evaluation look at the same digits with the same network.
    assert float(finished["kNN Top 1"]) == pytest.approx(100 * curve[12.0], abs=0.01)
    assert (out / "accuracy.png").is_file()

    process = start(suite, "only=simclr")
    said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said
    assert "[1/1] simclr: finished earlier" in said
