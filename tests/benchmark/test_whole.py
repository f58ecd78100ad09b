"""Real processes, from the command to the tables."""

import csv
import json
import os
import signal
import sys
import threading

import pytest
from run_states import differing, state_of

from lightly_core.benchmarking.forking import RowServer
from lightly_core.cli.main import main

pytestmark = pytest.mark.processes

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
method_args = {{ teacher = "timm/test_resnet", teacher_weights = "{folder}/broken.pt" }}
epochs = 1

[[rows]]
method = "simclr"
epochs = 6
"""


@pytest.fixture
def ctrl_c_when(monkeypatch):
    """Send Ctrl-C to this process once, as soon as a file has a text."""
    done = threading.Event()

    def watch(file, text):
        while not done.wait(0.05):
            if file.exists() and text in file.read_text():
                os.kill(os.getpid(), signal.SIGINT)
                return

    threads = []

    def start(file, text):
        threads.append(threading.Thread(target=watch, args=(file, text)))
        threads[0].start()

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield start
    done.set()
    for thread in threads:
        thread.join()


def test_a_suite_is_interrupted_goes_on_and_ends_with_its_tables(
    tmp_path, ctrl_c_when, capsys, plan_here
):
    suite = tmp_path / "suite.toml"
    suite.write_text(SUITE.format(folder=tmp_path))
    (tmp_path / "broken.pt").write_text("no weights")  # not seen before the row starts
    out = tmp_path / "out"

    def benchmark(*words):
        code = main(["benchmark", str(suite), *words])
        said = capsys.readouterr()
        return code, said.out + said.err

    ctrl_c_when(out / "simclr/run/metrics.jsonl", '"step": 14')
    code, said = benchmark("only=simclr")
    assert code == 130, said
    assert "stopped in row 'simclr'" in said
    assert (out / "simclr/run/checkpoints/last.ckpt").is_file()
    assert "- simclr: not finished" in (out / "results.md").read_text()

    plan_here()  # twice more by a process of its own would show nothing new
    code, said = benchmark()
    assert code == 1, said  # the other row fails
    assert "distillationv1: FAILED" in said
    assert "[2/2] simclr: resuming" in said
    with (out / "results.csv").open(newline="") as file:
        failed, finished = csv.DictReader(file)
    assert (failed["State"], finished["State"]) == ("failed", "finished")
    assert "broken.pt" in failed["Notes"]
    assert "2 sessions" in finished["Notes"]
    assert (finished["Epochs"], finished["Batch Size"]) == ("6", "256")
    result = json.loads((out / "simclr/result.json").read_text())
    curve = dict(result["trained"]["curves"]["knn/top1"])
    assert list(curve) == [float(epoch) for epoch in range(7)]
    # The curve and the evaluation use the same digits and the same network.
    assert float(finished["kNN Top 1"]) == pytest.approx(100 * curve[6.0], abs=0.01)
    assert (out / "accuracy.png").is_file()

    code, said = benchmark("only=simclr")
    assert code == 0, said
    assert "[1/1] simclr: finished earlier" in said


@pytest.mark.skipif(sys.platform != "linux", reason="rows are forked on Linux only")
def test_a_forked_row_gives_what_a_new_interpreter_gives(tmp_path, monkeypatch, plan_here):
    suite = tmp_path / "suite.toml"
    suite.write_text(SUITE.format(folder=tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    plan_here()
    forked = []
    fork = RowServer.fork

    def noted(self, job, log):
        forked.append(fork(self, job, log))
        return forked[-1]

    monkeypatch.setattr(RowServer, "fork", noted)
    for out, value in (("warm", "true"), ("new", "false")):
        words = (f"out={tmp_path / out}", "only=simclr", "run.epochs=1")
        assert main(["benchmark", str(suite), *words, f"launcher_args.fork_rows={value}"]) == 0
    assert [row is not None for row in forked] == [True]
    warm, new = (tmp_path / out / "simclr" for out in ("warm", "new"))
    assert differing(state_of(warm / "run"), state_of(new / "run")) == []
    results = [json.loads((row / "evaluation.json").read_text())["results"] for row in (warm, new)]
    assert results[0][0]["top1"] == results[1][0]["top1"]
