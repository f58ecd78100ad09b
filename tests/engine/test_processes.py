"""Runs in processes of their own: together, stopped by signals, and two that want one folder."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from unittest import mock

import pytest
import torch
from circles import mark_others
from lightning.pytorch.callbacks import LambdaCallback
from run_states import state_of, stop_in_step
from short_run import run_settings
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

import lightly_core
from lightly_core.cli.main import main
from lightly_core.engine import fsdp2
from lightly_core.errors import RunInterrupted
from lightly_core.testing import TinyConv, shared_pair
from lightly_core.testing.models import TinyTokens


def start(arguments, variables=None):
    """Start Python as the leader of a process group of its own."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            **(variables or {}),
        },
        start_new_session=True,
    )


def train(out, data, devices=1, *, every=1, stop_after=None, **changes):
    """Do a short run with batch norms in this process, alone or as one of `devices`."""
    torch.manual_seed(0)
    strategy = "ddp" if devices == 2 else "auto"
    heads = {"hidden_dim": 8, "output_dim": 4}
    settings = run_settings(out=out, data=data, model=TinyConv(), method_args=heads)
    settings |= {"devices": devices, "strategy": strategy, "precision": "64-true"}
    stops = [] if stop_after is None else [stop_in_step(stop_after)]
    settings["trainer_args"] = {"log_every_n_steps": every, "callbacks": stops}
    with contextlib.suppress(RunInterrupted):
        lightly_core.pretrain(**{**settings, **changes})


def train_together(rank, out, data, changes=None):
    # Lightning then starts no process, as under torchrun.
    with mock.patch.dict(os.environ, {"LOCAL_RANK": str(rank)}):
        train(out, data, devices=2, **(changes or {}))


def assert_equal_runs(one, other, read_metrics, names=("train_loss", "grad_norm")):
    """Compare losses and weights of two runs; their numbers are rounded differently."""
    one_lines, other_lines = read_metrics(one), read_metrics(other)
    assert [line["step"] for line in one_lines] == [line["step"] for line in other_lines]
    for name in names:
        expected = pytest.approx([line[name] for line in one_lines], rel=1e-5)
        assert [line[name] for line in other_lines] == expected
    weights, others = (
        torch.load(out / "exported_models/exported_last.pt", weights_only=True)
        for out in (one, other)
    )
    for name, tensor in weights.items():
        torch.testing.assert_close(tensor, others[name], rtol=1e-9, atol=1e-11)


@pytest.mark.processes
def test_two_processes_give_the_losses_of_one(image_folder, tmp_path, read_metrics):
    train(tmp_path / "1", image_folder)
    shared_pair().run(train_together, tmp_path / "2", image_folder)
    assert len(read_metrics(tmp_path / "1")) == 6
    assert_equal_runs(tmp_path / "1", tmp_path / "2", read_metrics)


@pytest.mark.processes
def test_a_run_goes_on_with_another_number_of_processes(image_folder, tmp_path, read_metrics):
    # Each stop is in the middle of an epoch, and of an interval whose mean is logged.
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(whole, image_folder, every=2)
    train(cut, image_folder, every=2, stop_after=1)
    again = {"every": 2, "resume_interrupted": True}
    shared_pair().run(train_together, cut, image_folder, {**again, "stop_after": 5})
    train(cut, image_folder, **again)
    assert json.loads((cut / "status.json").read_text())["step"] == 6
    assert_equal_runs(whole, cut, read_metrics)


def train_masked(rank, out, data, changes):
    """Train with a loss that takes each image by itself; return how often gradients were sent."""
    sent = []

    def count(trainer, *_):
        if rank is not None:
            trainer.strategy.model.register_comm_hook(None, counting)

    def counting(state, bucket):
        sent.append(bucket.index())
        return allreduce_hook(None, bucket)

    torch.manual_seed(0)
    values = {
        "model": TinyTokens(), "method": "simmim", "method_args": {},
        "transform_args": {"image_size": 32}, "precision": "64-true",
    }  # fmt: skip
    settings = run_settings(out=out, data=data, **{**values, **changes})
    settings["trainer_args"]["callbacks"] = [LambdaCallback(on_train_start=count)]
    with mock.patch.dict(os.environ, {} if rank is None else {"LOCAL_RANK": str(rank)}):
        lightly_core.pretrain(**settings)
    return sent.count(0)


@pytest.mark.processes
def test_two_processes_with_two_batches_a_step_equal_one_with_one(
    image_folder, tmp_path, read_metrics
):
    train_masked(None, tmp_path / "1", image_folder, {"batch_size": 12})
    two = {"batch_size": 6, "gradient_accumulation_steps": 2, "devices": 2, "strategy": "ddp"}
    sent = shared_pair().run(train_masked, tmp_path / "2", image_folder, two)
    assert sent == (4, 4)  # once for each of the four steps, which have eight backward passes
    assert_equal_runs(tmp_path / "1", tmp_path / "2", read_metrics)


def train_sharded(rank, out, data, stop_after, changes):
    """Train a vision transformer whose blocks are sharded one by one, or begin or finish that."""
    settings = run_settings(
        out=out, data=data, model="timm/test_vit", method="dino", callbacks={"signals": None},
        method_args={"hidden_dim": 32, "output_dim": 16, "bottleneck_dim": 16},
        transform_args={"image_size": 32, "local_view": {"view_size": 16, "num_views": 2}},
        precision="64-true", **changes,
    )  # fmt: skip
    if stop_after is not None:
        settings["trainer_args"]["callbacks"] = [stop_in_step(stop_after)]
    with (
        mock.patch.dict(os.environ, {"LOCAL_RANK": str(rank)}),
        mock.patch.object(fsdp2, "LEAST_NUMBERS", 100),
        contextlib.suppress(RunInterrupted),
    ):
        lightly_core.pretrain(**settings)


@pytest.mark.processes
def test_sharded_weights_with_a_teacher_are_those_of_whole_ones_also_after_a_resume(
    image_folder, tmp_path, read_metrics
):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    ddp, sharded = ({"devices": 2, "strategy": name} for name in ("ddp", "fsdp2"))
    shared_pair().run(train_sharded, whole, image_folder, None, ddp)
    shared_pair().run(train_sharded, cut, image_folder, 2, sharded)
    again = {"resume_interrupted": True}
    shared_pair().run(train_sharded, cut, image_folder, 4, {**ddp, **again})
    shared_pair().run(train_sharded, cut, image_folder, None, {**sharded, **again})
    losses = [[line["train_loss"] for line in read_metrics(out)] for out in (whole, cut)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)  # logged in float32
    one, other = state_of(whole), state_of(cut)
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(value, other[name], rtol=1e-8, atol=1e-11)
        elif not isinstance(value, float):
            assert value == other[name], name


COMMAND = [
    "-m", "lightly_core.cli", "run", "model=timm/test_resnet", "method=simclr", "batch_size=8",
    "transform_args.image_size=32", "accelerator=cpu", "in_memory=false", "precision=32-true",
    "loggers.tensorboard=none", "callbacks.signals=none",
]  # fmt: skip


def start_run(out, images, *words, epochs=1000):
    """Start a run, and wait for its first checkpoint."""
    words = [f"out={out}", f"data={images}", f"epochs={epochs}", *words]
    process = start([*COMMAND, *words])
    wait_for(out / "checkpoints/last.ckpt", process)
    return process


def wait_for(file, process):
    deadline = time.monotonic() + 240
    while not file.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)


def steps_done(output):
    return int(re.search(r"stopped after step (\d+); go on with resume_interrupted", output)[1])


# Each signal, each way of sending and of starting, in as few runs as that takes. Scripts and
# processes that MPI has started have tests of their own below.
STOPS = {
    "the process, Ctrl-C": (os.kill, signal.SIGINT, "num_workers=1"),
    "the process, SIGUSR1": (os.kill, signal.SIGUSR1, "num_workers=0"),
    "the group, spawned workers": (
        os.killpg, signal.SIGUSR1, "num_workers=2 loader_args.multiprocessing_context=spawn",
    ),
    "the group of two with workers": (os.killpg, signal.SIGTERM, "num_workers=1 devices=2"),
}  # fmt: skip
#: Those that the second circle sends.
FIRST_STOPS = ("the process, Ctrl-C", "the group of two with workers")


@pytest.mark.processes
@pytest.mark.parametrize("to", mark_others(pytest.mark.exhaustive, STOPS, *FIRST_STOPS))
def test_a_signal_saves_and_exits_with_130_and_the_run_can_go_on(image_folder, tmp_path, to):
    send, number, words = STOPS[to]
    out = tmp_path / "out"
    # Metrics are never logged, so that a stop which waits for that takes for ever.
    interval = "trainer_args.log_every_n_steps=1000000"
    process = start_run(out, image_folder, interval, *words.split(), epochs=100_000)
    send(process.pid, number)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    checkpoint = torch.load(out / "checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == steps_done(output)
    assert not (out / ".lock").exists()


@pytest.mark.processes
def test_a_process_that_is_killed_ends_the_run_and_is_named(image_folder, tmp_path):
    out = tmp_path / "out"
    process = start_run(out, image_folder, "num_workers=0", "devices=2")
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True)
    other = int(found.stdout.split()[0])
    os.kill(other, signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1, output
    assert "Traceback" not in output
    status = json.loads((out / "status.json").read_text())
    assert status["state"] == "failed"
    for text in (output, status["error"]):
        assert f"rank 1 (process ID {other}) was killed by SIGKILL" in text
        assert "last.ckpt' is kept" in text


@pytest.mark.processes
def test_a_second_run_is_refused_and_the_first_goes_on(image_folder, tmp_path, capsys):
    out = tmp_path / "out"

    def run(*words):
        code = main([*COMMAND[2:], f"out={out}", f"data={image_folder}", "num_workers=0", *words])
        said = capsys.readouterr()
        return code, said.out + said.err

    process = start_run(out, image_folder, "num_workers=1")
    for word in ("overwrite=true", "resume_interrupted=true"):
        code, said = run("epochs=1000", word)
        assert code == 2, said
        assert f"in use by another process (process {process.pid} of" in said
    assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    # Its workers may live for seconds more, the lock does not.
    code, said = run("epochs=1", "overwrite=true")
    assert code == 0, said
    assert f"was in use by process {process.pid}" in said


SCRIPT = """
import sys
import lightly_core
import lightly_core.errors

def main(**changes):
    lightly_core.pretrain(
        out=sys.argv[1], data=sys.argv[2], model="timm/test_resnet", method="simclr", epochs=2,
        batch_size=8, accelerator="cpu", transform_args={"image_size": 32}, precision="32-true",
        loggers={"tensorboard": None}, trainer_args={"log_every_n_steps": 1},
        **{**OPTIONS, **changes},
    )

CALL
"""


def write_script(folder, call, options):
    script = folder / "train.py"
    script.write_text(SCRIPT.replace("CALL", call).replace("OPTIONS", repr(options)))
    return script


@pytest.mark.processes
def test_a_script_that_is_stopped_ends_with_130_and_without_a_traceback(image_folder, tmp_path):
    out = tmp_path / "out"
    script = write_script(tmp_path, GUARDED, {"num_workers": 2, "in_memory": False})
    script.write_text(script.read_text().replace("epochs=2", "epochs=100_000"))
    process = start([script, out, image_folder])
    wait_for(out / "checkpoints/last.ckpt", process)
    os.killpg(process.pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    checkpoint = torch.load(out / "checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == steps_done(output)


@pytest.mark.processes
def test_a_script_without_a_guard_clears_nothing(image_folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "metrics.jsonl").write_text("of an earlier run")
    options = {
        "num_workers": 2, "in_memory": False, "overwrite": True,
        "loader_args": {"multiprocessing_context": "forkserver"},  # as for the others
    }  # fmt: skip
    process = start([write_script(tmp_path, "main()", options), out, image_folder])
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "import 'train.py' again" in output
    assert 'if __name__ == "__main__":' in output
    assert [path.name for path in out.iterdir()] == ["metrics.jsonl"]


TORCHRUN = ["-m", "torch.distributed.run", "--nproc_per_node=2"]
GUARDED = 'if __name__ == "__main__":\n    main()'


# Processes that import everything take seconds, so the same two are refused and then train.
REFUSED_FIRST = """if __name__ == "__main__":
    import os
    try:
        main(devices=3)
    except lightly_core.errors.ConfigError as error:
        print(f"refused: {error}")
    # The other process may train already when this one gets here.
    assert os.environ["RANK"] != "0" or not os.path.exists(sys.argv[1])
    main()"""


@pytest.mark.processes
def test_torchrun_refuses_other_devices_and_without_any_trains_together(
    image_folder, tmp_path, read_metrics
):
    out = tmp_path / "out"
    script = write_script(tmp_path, REFUSED_FIRST, {"num_workers": 0})
    process = start([*TORCHRUN, script, out, image_folder])
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    refusal = "refused: config.devices: got 3, but torchrun started 2 process(es)"
    assert output.count(refusal) == 2
    assert json.loads((out / "config.json").read_text())["derived"]["world_size"] == 2
    assert [line["step"] for line in read_metrics(out)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.exhaustive
@pytest.mark.processes
def test_a_signal_to_one_of_two_that_mpi_started_stops_both(image_folder, tmp_path):
    out = tmp_path / "out"
    script = write_script(tmp_path, GUARDED, {"num_workers": 0})
    script.write_text(script.read_text().replace("epochs=2", "epochs=100_000"))
    first, second = (
        start([script, out, image_folder], variables)
        for variables in (
            {
                "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": rank,
                "OMPI_COMM_WORLD_LOCAL_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": rank,
            }
            for rank in "01"
        )
    )  # fmt: skip
    wait_for(out / "checkpoints/last.ckpt", first)
    os.kill(first.pid, signal.SIGTERM)
    outputs = [process.communicate(timeout=120)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [130, 130], outputs
    assert "Traceback" not in "".join(outputs)
    assert json.loads((out / "config.json").read_text())["derived"]["world_size"] == 2
    checkpoint = torch.load(out / "checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == steps_done(outputs[0])
