import contextlib
import json
import signal
import stat
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from lightly_core import api
from lightly_core.benchmarking import state
from lightly_core.benchmarking.process import row_command
from lightly_core.cli import benchmark_row as worker
from lightly_core.engine.lock import held
from lightly_core.engine.result import RunResult
from lightly_core.errors import RunError, RunInterrupted
from lightly_core.plugins import discovery


@pytest.fixture
def row(tmp_path, monkeypatch):
    """A job, and stand-ins for `pretrain` and `evaluate` that record their arguments."""

    class Row:
        def __init__(self):
            self.folder = state.RowFolder(tmp_path / "row")
            self.folder.root.mkdir()
            self.calls = []
            self.error = None
            self.evaluate = {"data": "images"}
            self.blocked = []
            state.write(self.folder.settings, {"name": "row", "settings": {}})

        def start(self):
            job = {
                "folder": str(self.folder.root),
                "blocked_plugins": self.blocked,
                "run": {"out": str(self.folder.run), "epochs": 2},
                "evaluate": self.evaluate,
            }
            self.folder.job.write_text(json.dumps(job))
            return worker.main([str(self.folder.job)])

    row = Row()

    def pretrain(**settings):
        row.calls.append(("pretrain", settings))
        if row.error is not None:
            raise row.error
        derived = {
            "effective_batch_size": 8,
            "total_steps": 20,
            "steps_per_epoch": 10,
            "world_size": 1,
        }
        shared = {"epochs": 2, "accelerator": "cpu", "precision": "32-true"}
        state.write(row.folder.run / "config.json", {**shared, "derived": derived})
        (row.folder.run / "metrics.jsonl").write_text('{"step": 20, "knn/top1": 0.5}\n')
        return RunResult(folder=row.folder.run, collapse="it collapsed", num_skipped=3)

    def evaluate(**settings):
        row.calls.append(("evaluate", settings))
        if row.error is not None:
            raise row.error
        results = [{"protocol": "knn", "settings": {"k": 20}, "top1": 0.5, "top5": 0.9}]
        state.write(row.folder.evaluation, {"results": results})

    # Collecting the garbage of all tests so far would take longer than the test.
    monkeypatch.setattr(worker, "gc", SimpleNamespace(collect=lambda: 0))
    monkeypatch.setattr(api, "pretrain", pretrain)
    monkeypatch.setattr(api, "evaluate", evaluate)
    return row


def names(row):
    return [name for name, _ in row.calls]


def test_it_trains_evaluates_what_was_exported_and_notes_what_it_took(row):
    assert row.start() == 0
    assert names(row) == ["pretrain", "evaluate"]
    assert row.calls[1][1] == {
        "data": "images",
        "model": str(row.folder.run),
        "out": str(row.folder.evaluation),
        "overwrite": True,
    }
    result = state.read(row.folder.result)
    assert result["evaluation"][0]["top1"] == 0.5
    trained = result["trained"]
    shown = ("epochs", "batch_size", "steps", "world_size", "accelerator", "precision")
    assert [trained[name] for name in shown] == [2, 8, 20, 1, "cpu", "32-true"]
    assert trained["num_skipped"] == 3
    assert trained["seconds"] > 0
    assert trained["process_memory"] > 10_000_000
    assert trained["curves"] == {"knn/top1": [[2.0, 0.5]]}
    assert trained["notes"] == ["it collapsed"]


def test_a_row_without_evaluation_is_only_trained(row):
    row.evaluate = None
    assert row.start() == 0
    assert names(row) == ["pretrain"]
    assert state.read(row.folder.result)["evaluation"] == []


def test_a_mistake_is_written_down_and_what_is_trained_is_not_trained_again(row):
    row.error = RunError("no evaluation today")
    assert row.start() == 1
    assert state.read(row.folder.failure) == {"error": "no evaluation today"}
    row.error = None
    row.folder.evaluation.unlink(missing_ok=True)
    assert row.start() == 0
    row.folder.result.unlink()
    row.folder.evaluation.unlink()
    row.error = ValueError("a bug")
    assert row.start() == 1
    assert state.read(row.folder.failure) == {"error": "ValueError: a bug"}
    assert names(row) == ["pretrain", "pretrain", "evaluate", "evaluate"]


def save(row):
    (row.folder.run / "checkpoints").mkdir(parents=True)
    (row.folder.run / "checkpoints/last.ckpt").touch()


def test_the_time_of_an_interrupted_session_counts(row):
    row.error = RunInterrupted("stopped after step 3")
    save(row)
    assert row.start() == 130
    assert not row.folder.failure.exists()
    assert len(state.read(row.folder.sessions)) == 1
    row.error = None
    assert row.start() == 0
    trained = state.read(row.folder.trained)
    assert trained["seconds"] == sum(s["seconds"] for s in state.read(row.folder.sessions))
    assert any("2 sessions" in note for note in trained["notes"])


def test_a_row_takes_as_much_memory_as_the_largest_of_its_sessions(row, monkeypatch):
    monkeypatch.setattr(worker, "_device_memory", lambda: 7)
    earlier = [
        {"seconds": 100.0, "device_memory": None, "process_memory": 2**50},
        {"seconds": 200.0, "device_memory": 9, "process_memory": 1},
    ]
    state.write(row.folder.sessions, earlier)
    save(row)
    assert row.start() == 0
    trained = state.read(row.folder.trained)
    assert (trained["device_memory"], trained["process_memory"]) == (9, 2**50)
    assert 300 < trained["seconds"] < 400


@pytest.mark.parametrize(("taken", "expected"), [((3, 9, 4), 9), ((0, 0), None), ((), None)])
def test_the_memory_of_the_device_that_gave_most_is_told(monkeypatch, taken, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: len(taken) > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(taken))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: taken[device])
    assert worker._device_memory() == expected


def test_plugins_that_are_left_out_are_left_out_here_too(row, monkeypatch):
    seen = []
    monkeypatch.setattr(discovery, "configure", lambda *, block: seen.append(block))
    row.blocked = ["acme"]
    assert row.start() == 0
    assert seen == [["acme"]]


def test_further_processes_train_and_write_nothing(row, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert row.start() == 0
    assert names(row) == ["pretrain"]
    assert not row.folder.trained.exists()
    assert not row.folder.sessions.exists()


@pytest.mark.slow
def test_a_row_that_another_process_runs_is_left_alone(row):
    with held(row.folder.root):
        assert row.start() == 1
    assert "in use by another process" in state.read(row.folder.failure)["error"]
    assert row.calls == []


def test_an_interrupted_training_goes_on_and_one_without_checkpoint_starts_anew(row):
    row.error = RunError("no")
    row.start()
    row.folder.run.mkdir()
    row.start()
    save(row)
    row.start()
    # Read from its job by the processes of other devices.
    starts = [settings for _, settings in row.calls]
    assert [list(set(start) - {"out", "epochs"}) for start in starts] == [
        [],
        ["overwrite"],
        ["resume_interrupted"],
    ]
    assert state.read(row.folder.job)["run"] == starts[-1]
    assert stat.S_IMODE(row.folder.job.stat().st_mode) == 0o600
    assert len(state.read(row.folder.sessions)) == 2  # those before were started anew


def test_a_job_that_cannot_be_seen_on_this_machine_is_named(tmp_path, capsys):
    assert worker.main([str(tmp_path / "job.json")]) == 1
    assert "job.json' does not exist on" in capsys.readouterr().err


@pytest.mark.processes
def test_a_row_waits_for_its_lock_and_stops_with_the_process_that_started_it(row):
    job = {"folder": str(row.folder.root), "blocked_plugins": [], "run": {}, "evaluate": None}
    state.write(row.folder.job, {**job, "patience": 600})
    with held(row.folder.root):
        process = subprocess.Popen(
            row_command(row.folder.job, watched=True),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # As programs that block Ctrl-C start their processes.
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT]),
        )
        assert "in use by another process" in process.stdout.readline()
        process.stdin.close()
        assert process.wait(60) == 130


ENDING = """
import atexit, os, runpy, sys
from lightly_core.plugins import discovery

class Large:
    def __del__(self):
        os.write(1, b"taken apart")

discovery.large = Large()
discovery.configure = lambda block: atexit.register(print, "a logger has closed")
sys.argv[1:] = [{job!r}]
runpy.run_module("lightly_core.cli.benchmark_row", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("fails", [False, True])
def test_the_process_ends_at_once_but_only_after_what_others_do_at_the_end(row, fails):
    job = {"folder": str(row.folder.root), "blocked_plugins": [], "run": {}, "evaluate": None}
    state.write(row.folder.job, job)
    state.write(row.folder.trained, {})  # so that torch is not imported
    command = [sys.executable, "-c", ENDING.format(job=str(row.folder.job))]
    with held(row.folder.root) if fails else contextlib.nullcontext():
        ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == (1 if fails else 0), ended.stderr
    assert row.folder.result.is_file() is not fails
    assert ended.stdout == "a logger has closed\n"
