import contextlib
import json
import multiprocessing
import os
import signal
import time

import pytest
from attrs import asdict, evolve

from lightly_core.engine import lock
from lightly_core.engine.folder import RunFolder
from lightly_core.engine.lock import LOCK_FILE, STALE_SECONDS, Owner, held, in_use_message
from lightly_core.errors import ConfigError, RunError


@pytest.fixture(params=[True, False])
def flock(request, monkeypatch):
    """With flock, and on a file system without it."""
    if not request.param:
        monkeypatch.setattr(lock, "_flock", lambda descriptor, exclusive=True: None)
    return request.param


def write(folder, *, seconds_ago=0.0, **changes):
    """Leave a lock as another process would."""
    file = folder / LOCK_FILE
    file.write_text(json.dumps(asdict(evolve(Owner.this_process(), **changes))))
    then = time.time() - seconds_ago
    os.utime(file, (then, then))
    return file


ELSEWHERE = {"host": "elsewhere", "boot": "another", "pid": 1, "user": "somebody"}


@pytest.mark.slow
def test_a_folder_is_held_by_one_at_a_time_and_free_afterwards(tmp_path, flock):
    assert in_use_message(tmp_path) is None
    with held(tmp_path):
        assert f"process {os.getpid()} of " in in_use_message(tmp_path)
        with (
            pytest.raises(RunError, match=r"in use by another process .*since 20\d\d-"),
            held(tmp_path),
        ):
            pass
        assert (tmp_path / LOCK_FILE).exists()
    assert in_use_message(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_an_error_frees_it(tmp_path, flock):
    with pytest.raises(ZeroDivisionError), held(tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def hold_and_tell(folder, connection):
    with held(folder):
        connection.send(os.getpid())
        time.sleep(60)


@pytest.mark.slow
def test_the_lock_of_a_killed_process_is_taken_over_with_a_message(tmp_path, flock, caplog):
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=hold_and_tell, args=(tmp_path, theirs))
    child.start()
    pid = ours.recv()
    assert f"process {pid} of " in in_use_message(tmp_path)
    os.kill(pid, signal.SIGKILL)
    child.join()
    assert in_use_message(tmp_path) is None
    with caplog.at_level("INFO", "lightly_core"), held(tmp_path):
        assert Owner.read(tmp_path / LOCK_FILE).pid == os.getpid()
    assert f"was in use by process {pid}" in caplog.text


def test_a_number_that_another_process_has_now_holds_nothing(tmp_path, flock):
    write(tmp_path, pid=os.getppid(), started="1")
    with held(tmp_path):
        pass


@pytest.mark.slow
def test_an_owner_on_another_machine_counts_by_its_last_update(tmp_path, flock):
    file = write(tmp_path, seconds_ago=STALE_SECONDS - 60, **ELSEWHERE)
    message = in_use_message(tmp_path)
    assert "process 1 of somebody on elsewhere" in message
    assert "120 s ago" in message
    assert f"remove '{file}'" in message
    with pytest.raises(RunError, match="somebody on elsewhere"), held(tmp_path):
        pass
    assert Owner.read(file).host == "elsewhere"
    write(tmp_path, seconds_ago=STALE_SECONDS + 1, **ELSEWHERE)
    with held(tmp_path):
        assert Owner.read(file).pid == os.getpid()


def test_processes_of_another_container_are_not_looked_up_by_number(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "_flock", lambda descriptor, exclusive=True: None)
    write(tmp_path, space="pid:[1]", pid=2**22 + 1)
    assert "updated its lock" in in_use_message(tmp_path)


def test_signs_of_life_are_given(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.01)
    with held(tmp_path):
        file = tmp_path / LOCK_FILE
        os.utime(file, (1, 1))
        deadline = time.monotonic() + 30
        while file.stat().st_mtime == 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def look_for(file, connection):
    links = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the list itself
            links.append(os.readlink(f"/proc/self/fd/{name}"))
    connection.send(str(file) in links)


def test_forked_children_do_not_keep_it(tmp_path):
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    with held(tmp_path):
        child = context.Process(target=look_for, args=(tmp_path / LOCK_FILE, theirs))
        child.start()
        child.join()
        assert ours.recv() is False
        assert in_use_message(tmp_path) is not None


def test_a_run_folder_that_is_in_use_is_refused_whatever_is_wanted(tmp_path):
    out = RunFolder(tmp_path / "out")
    with out.opened(overwrite=False, resume=False):
        (out.checkpoints / "last.ckpt").write_text("x")
        for wish in ({"overwrite": True}, {"resume": True}, {}):
            wish = {"overwrite": False, "resume": False, **wish}
            assert "in use by another process" in out.problems(**wish)[0]
            with pytest.raises(ConfigError, match="in use"), out.opened(**wish):
                pass
    assert (out.checkpoints / "last.ckpt").read_text() == "x"
    assert not (out.root / LOCK_FILE).exists()


def test_of_two_runs_that_start_together_one_is_refused(tmp_path, monkeypatch):
    first, second = RunFolder(tmp_path / "out"), RunFolder(tmp_path / "out")
    look = second.problems
    with first.opened(overwrite=False, resume=False):
        # As if it had looked before the first one made the folder.
        answers = [[]]
        monkeypatch.setattr(
            second, "problems", lambda **wish: answers.pop() if answers else look(**wish)
        )
        opened = second.opened(overwrite=False, resume=False)
        with pytest.raises(ConfigError, match="in use by another process"), opened:
            pass


def test_a_checkpoint_that_was_written_since_it_was_read_is_not_resumed(tmp_path):
    out = RunFolder(tmp_path / "out")
    out.checkpoints.mkdir(parents=True)
    out.last_checkpoint.write_text("step 1")
    stamp = out.stamp()
    with out.opened(overwrite=False, resume=True, stamp=stamp):
        pass
    out.last_checkpoint.write_text("step 20")
    opened = out.opened(overwrite=False, resume=True, stamp=stamp)
    with pytest.raises(ConfigError, match="another run has written"), opened:
        pass
