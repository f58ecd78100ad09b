"""Processes that end or hang are named by the others. `test_processes.py` has a real one."""

import json
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from torch.distributed import HashStore, TCPStore

from lightly_core.engine import peer_watch
from lightly_core.engine.folder import RunFolder
from lightly_core.engine.peer_watch import PeerWatch
from lightly_core.engine.peers import Failure, Peers
from lightly_core.engine.status import record_failure
from lightly_core.errors import RunError

SILENT, STALLED = 60.0, 1800.0


class Run:
    """Processes whose clock is set by hand. Each beat takes two seconds."""

    def __init__(self, num_processes=3):
        self.seconds = 0.0
        store = HashStore()
        self.processes = [
            Peers(
                store, rank, num_processes, f"host, process ID {100 + rank}",
                interval=2.0, silent_after=SILENT, stalled_after=STALLED,
                clock=lambda: self.seconds,
            )
            for rank in range(num_processes)
        ]  # fmt: skip

    def beat(self, *ranks, seconds=2.0, positions=None, phase="in a step"):
        """Let some processes give signs for some time; return what the last one found."""
        found = None
        for _ in range(int(seconds / 2)):
            self.seconds += 2.0
            for rank in ranks:
                position = self.seconds if positions is None else positions[rank]
                found = self.processes[rank].beat(position, phase, "loader.py:3 in wait")
        return found


def test_a_process_without_signs_of_life_is_named_to_all_others():
    run = Run()
    assert run.beat(2, 1, 0, seconds=10) is None
    assert run.beat(1, 0, seconds=SILENT) is None
    found = run.beat(1, 0)
    assert found.rank == 2
    assert "rank 2 of 3 (host, process ID 102) has given no sign of life for 62 s" in found.text
    assert run.beat(2) == found


def test_the_first_process_is_watched_by_the_others():
    run = Run()
    run.beat(2, 1, 0, seconds=10)
    assert run.beat(1, 2, seconds=SILENT + 4).rank == 0


def test_after_a_failed_operation_three_missing_signs_suffice():
    run = Run()
    run.beat(2, 1, 0, seconds=10)
    run.processes[0].suspect()
    assert run.beat(2, 0, seconds=6) is None
    assert run.beat(2, 0).rank == 1


def test_the_failure_that_was_declared_first_counts():
    run = Run()
    first = Failure(1, "rank 1 failed: a")
    assert run.processes[1].declare(first) == first
    assert run.processes[2].declare(Failure(2, "rank 2 failed: b")) == first
    assert run.beat(0) == first


def test_a_process_that_has_left_the_training_is_not_missed():
    run = Run()
    run.beat(2, 1, 0, seconds=10)
    run.processes[2].end()
    assert run.beat(1, 0, seconds=2 * SILENT) is None


def test_the_process_that_all_wait_for_is_named_with_its_place():
    run = Run()
    positions = [7, 6, 7]
    assert run.beat(2, 1, 0, seconds=STALLED, positions=positions) is None
    found = run.beat(2, 1, 0, seconds=4, positions=positions)
    assert found.rank == 1
    assert "process_timeout=1800" in found.text
    assert "rank 1 of 3 (host, process ID 101) is in a step, at loader.py:3 in wait" in found.text
    assert "2 wait for it" in found.text


def test_of_processes_in_one_phase_the_one_that_does_not_wait_for_others_is_named():
    run = Run(2)
    found = None
    while found is None:
        run.seconds += 2.0
        run.processes[0].beat(3, "in a step", "distributed_c10d.py:9 in all_gather", True)
        found = run.processes[1].beat(3, "in a step", "own.py:1 in loop")
    assert found.rank == 1
    assert "own.py:1 in loop; 1 wait for it" in found.text


def test_progress_of_one_process_is_progress():
    run = Run(2)
    for position in range(4):
        assert run.beat(1, 0, seconds=STALLED - 10, positions=[1, position]) is None


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_job_that_was_suspended_goes_on(order):
    run = Run(2)
    run.beat(1, 0, seconds=10)
    run.seconds += 2 * STALLED
    assert [run.beat(rank) for rank in order] == [None, None]
    assert run.beat(1, 0, seconds=SILENT) is None


def test_a_process_that_does_not_go_on_after_a_suspension_is_named():
    run = Run(2)
    run.beat(1, 0, seconds=10)
    run.seconds += 2 * STALLED
    assert run.beat(0, seconds=SILENT - 4) is None
    assert run.beat(0, seconds=6).rank == 1


GLOO = "[/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:4711"


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """A watch over a process that has ended with exit code 3, and how it ended this one."""
    monkeypatch.setattr(peer_watch, "_SECONDS_TO_LEAVE", 0.1)
    process = subprocess.Popen([sys.executable, "-S", "-c", "raise SystemExit(3)"])
    process.wait()
    left = []
    watch = PeerWatch(RunFolder(tmp_path), timeout=0.2, leave=left.append)
    launcher = SimpleNamespace(procs=[process])
    strategy = SimpleNamespace(launcher=launcher)
    return watch, SimpleNamespace(strategy=strategy, world_size=2, global_step=5), left


def status_of(folder):
    return json.loads((folder / "status.json").read_text())


def test_a_run_that_waits_for_an_ended_process_is_recorded_as_failed_and_ended(watched, tmp_path):
    watch, trainer, left = watched
    ended = threading.Event()
    watch._leave = lambda code: (left.append(code), ended.set())
    with watch.watching(trainer):
        assert ended.wait(30)
    assert left == [1]
    assert trainer.strategy.launcher.procs == []  # Lightning would kill this process
    status = status_of(tmp_path)
    assert (status["state"], status["step"]) == ("failed", 5)
    assert "rank 1" in status["error"]
    assert "exit code 3" in status["error"]


def test_an_error_that_follows_from_another_process_is_replaced_by_its_cause(watched, tmp_path):
    watch, trainer, left = watched
    with pytest.raises(RunError, match=r"^rank 1 .* exit code 3"), watch.watching(trainer):
        raise RuntimeError(GLOO)
    assert left == []


def test_an_error_of_this_process_is_raised_unchanged(watched):
    watch, trainer, left = watched
    with pytest.raises(ValueError, match="own"), watch.watching(trainer):
        raise ValueError("own")
    assert left == []


HOST = """
from torch.distributed import TCPStore
store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
print(store.port, flush=True)
input()
"""


@pytest.fixture(scope="module")
def host():
    """A process with a store, and the port of the store."""
    if not hasattr(signal, "SIGSTOP"):
        pytest.skip("Windows stops no process")
    process = subprocess.Popen(
        [sys.executable, "-c", HOST], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process, int(process.stdout.readline())
    process.kill()
    process.communicate()


def be_the_second(monkeypatch, store):
    """Let this process be the second of two with a store."""
    ranks = {"is_initialized": True, "get_rank": 1, "get_world_size": 2}
    for name, value in ranks.items():
        monkeypatch.setattr(peer_watch.dist, name, lambda value=value: value)
    monkeypatch.setattr(peer_watch, "_own_store", lambda seconds: store)


@pytest.fixture
def second_of_two(watched, host, monkeypatch):
    """The second process of a run. The first one, which has the store, is stopped."""
    watch, trainer, left = watched
    trainer.strategy.launcher.procs.clear()
    process, port = host
    be_the_second(monkeypatch, TCPStore("127.0.0.1", port, is_master=False))
    process.send_signal(signal.SIGSTOP)
    yield watch, trainer, left
    process.send_signal(signal.SIGCONT)


@pytest.mark.slow
def test_a_store_that_does_not_answer_ends_the_run(second_of_two, tmp_path):
    watch, trainer, left = second_of_two
    ended = threading.Event()
    watch._leave = lambda code: (left.append(code), ended.set())
    with watch.watching(trainer):
        watch.connect()
        assert ended.wait(30)
    assert left == [1]
    status = status_of(tmp_path)
    assert status["state"] == "failed"
    assert status["error"].startswith("rank 0, or the launcher")
    assert "no sign of life" in status["error"]


@pytest.mark.slow
def test_an_own_error_does_not_wait_for_a_store_that_does_not_answer(second_of_two):
    watch, trainer, left = second_of_two
    raised = []

    def fail():
        try:
            with watch.watching(trainer):
                watch.connect()
                raise ValueError("own")
        except ValueError as error:
            raised.append(str(error))

    thread = threading.Thread(target=fail, daemon=True)
    thread.start()
    thread.join(30)
    assert (raised, left) == (["own"], [])


def test_another_process_names_the_first_one_that_has_recorded_its_own_error(
    watched, monkeypatch, tmp_path
):
    watch, trainer, _ = watched
    trainer.strategy.launcher.procs.clear()
    store = HashStore()
    be_the_second(monkeypatch, store)
    first = Peers(store, 0, 2, "host", interval=0.04, silent_after=0.2, stalled_after=0.2)
    first.declare(Failure(0, "rank 0 of 2 failed: full disk"))
    record_failure(tmp_path, "full disk", 4)

    def fail():
        watch.connect()
        raise RuntimeError(GLOO)

    with pytest.raises(RunError, match=r"^rank 0 of 2 failed: full disk"), watch.watching(trainer):
        fail()
    assert status_of(tmp_path)["error"] == "full disk"


def test_a_failure_that_another_process_has_recorded_is_kept(watched, tmp_path):
    watch, trainer, _ = watched
    record_failure(tmp_path, "rank 0 has given no sign of life", 4)
    with pytest.raises(RunError, match=r"^rank 0 has given no sign"), watch.watching(trainer):
        raise RuntimeError(GLOO)
    assert status_of(tmp_path)["step"] == 4
