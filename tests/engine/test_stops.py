import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from lightly_core.data.loader import make_loader
from lightly_core.data.signals import stop_signals
from lightly_core.engine.callbacks.interrupt import StopFlagSum
from lightly_core.engine.requeue import requeue
from lightly_core.engine.stops import Stops
from lightly_core.errors import RunInterrupted
from lightly_core.testing import shared_pair

NAMES = ["SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP"]


@pytest.fixture(autouse=True)
def default_handlers():
    """A test runner that was started by nohup ignores SIGHUP, and a run then ignores it too."""
    before = {name: signal.getsignal(getattr(signal, name)) for name in NAMES}
    for name in NAMES:
        default = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
        signal.signal(getattr(signal, name), default)
    yield
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


def send(name):
    os.kill(os.getpid(), getattr(signal, name))


@pytest.mark.parametrize("name", NAMES)
def test_a_signal_while_a_run_trains_is_noted(name):
    before = signal.getsignal(getattr(signal, name))
    with Stops() as stops:
        stops.begin_training()
        assert not stops.requested
        send(name)
        assert stops.requested
        send("SIGTERM")  # a service manager sends a second one
    assert signal.getsignal(getattr(signal, name)) == before


@pytest.mark.parametrize("name", NAMES)
def test_a_signal_before_training_and_after_it_stops_at_once(name):
    with pytest.raises(RunInterrupted, match="before training"), Stops():
        send(name)
    with Stops() as stops:
        stops.begin_training()
        stops.end_training("the advice")
        with pytest.raises(RunInterrupted, match="the advice"):
            send(name)


def test_only_a_second_ctrl_c_stops_at_once():
    with Stops() as stops:
        stops.begin_training()
        send("SIGTERM")
        send("SIGINT")  # as one who passes a signal on sends it
        with pytest.raises(RunInterrupted, match="at once"):
            send("SIGINT")


def test_a_users_own_handler_of_sigusr1_stays(monkeypatch):
    heard = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    try:
        with Stops() as stops:
            stops.begin_training()
            send("SIGUSR1")
            assert not stops.requested
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert heard == [signal.SIGUSR1]


class Launcher:
    """Stands for Lightning's."""

    def __init__(self, seconds):
        command = [sys.executable, "-c", "import sys, time; time.sleep(float(sys.argv[1]))"]
        self.procs = [subprocess.Popen([*command, seconds])]


def stop_early(launcher):
    with Stops() as stops:
        stops.watch(launcher)
        send("SIGTERM")


def test_processes_of_further_devices_end_with_the_run():
    launcher = Launcher("60")
    with pytest.raises(RunInterrupted):
        stop_early(launcher)
    assert launcher.procs[0].wait(30) == -signal.SIGKILL


def stop_orderly(launcher):
    with Stops() as stops:
        stops.watch(launcher)
        stops.let_children_end()
        assert launcher.procs == []  # else Lightning would kill this process
        raise RunInterrupted


def test_they_are_waited_for_once_all_have_saved():
    launcher = Launcher("0.1")
    (child,) = launcher.procs
    with pytest.raises(RunInterrupted):
        stop_orderly(launcher)
    assert child.returncode == 0


class Pids:
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return os.getpid()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.processes)])
def test_workers_outlive_the_signals_that_stop_a_run(method):
    loader = make_loader(
        Pids(), list, num_workers=1, loader_args={"multiprocessing_context": method}
    )
    others = set(multiprocessing.active_children())  # of tests before this one
    batches = iter(loader)
    # At once: one that is spawned still imports torch.
    (worker,) = set(multiprocessing.active_children()) - others
    for number in stop_signals():
        os.kill(worker.pid, number)
    assert next(batches) == [worker.pid]
    for number in stop_signals():
        os.kill(worker.pid, number)
    assert [next(batches) for _ in range(7)] == [[worker.pid]] * 7
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
    del batches, loader
    worker.join(30)
    assert not worker.is_alive()


LEFT = """
import os, time
from lightly_core.data.loader import make_loader

class Slow:
    def __len__(self):
        return 8
    def __getitem__(self, index):
        if index:
            time.sleep(1000)
        return os.getpid()

loader = make_loader(Slow(), list, num_workers=1)
batches = iter(loader)
print(*next(batches), flush=True)
raise ZeroDivisionError
"""


@pytest.mark.processes
def test_a_worker_that_is_busy_when_the_program_ends_does_not_keep_it():
    done = subprocess.run([sys.executable, "-c", LEFT], capture_output=True, text=True, timeout=60)
    assert done.stderr.rstrip().endswith("ZeroDivisionError")
    deadline = time.monotonic() + 30
    while os.path.exists(f"/proc/{done.stdout.strip()}/cmdline"):
        with open(f"/proc/{done.stdout.strip()}/cmdline") as file:
            if not file.read():
                break  # it has ended, and nobody has asked for its code yet
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ask(rank, requested, by_ctrl_c):
    mine = rank == 1
    flags = StopFlagSum(mine and requested, torch.device("cpu"), by_ctrl_c=mine and by_ctrl_c)
    return flags.is_positive(), flags.has_ctrl_c()


@pytest.mark.processes
def test_all_processes_know_whether_one_got_a_signal_to_stop_and_whether_it_was_ctrl_c():
    for given in ((False, False), (True, False), (True, True)):
        assert shared_pair().run(ask, *given) == (given, given)


@pytest.mark.parametrize(("name", "requeued"), [("SIGUSR1", 1), ("SIGTERM", 1), ("SIGINT", 0)])
def test_the_job_is_requeued_after_every_signal_but_ctrl_c(name, requeued):
    calls = []

    def stop():
        with Stops(lambda: calls.append(None)) as stops:
            stops.begin_training()
            send(name)
            assert calls == []  # the run saves first
            raise RunInterrupted("saved")

    with pytest.raises(RunInterrupted):
        stop()
    assert len(calls) == requeued


def test_scontrol_requeues_the_task_of_an_array(monkeypatch, tmp_path):
    script = tmp_path / "scontrol"
    script.write_text(f'#!/bin/sh\necho "$@" > "{tmp_path}/called"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    for name, value in {"JOB_ID": "9", "ARRAY_JOB_ID": "7", "ARRAY_TASK_ID": "3"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    requeue()
    assert (tmp_path / "called").read_text() == "requeue 7_3\n"
