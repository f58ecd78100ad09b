import json
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from lightly_core.benchmarking import planning
from lightly_core.benchmarking.process import Presses, describe_exit, start_process
from lightly_core.errors import RunError

#: Counts the times it is asked to stop, says so, and stops when it was asked often enough.
COUNTING = """
import signal, sys, time
count = 0
def stop(number, frame):
    global count
    count += 1
    print("asked", count, flush=True)
    if count == {times}:
        sys.exit(130)
signal.signal(signal.SIGINT, stop)
sys.stdout.write("ready\\n")  # at once: a signal may come between two writes
time.sleep(30)
time.sleep(30)
"""


@pytest.fixture
def start(tmp_path):
    """Run code in a process; `during` is called in a thread once the process says "ready"."""
    log = tmp_path / "worker.log"

    def run(code, during=None):
        def look():
            for _ in range(3000):  # 30 s, should it never come
                if log.exists() and "ready" in log.read_text():
                    during()
                    return
                time.sleep(0.01)

        thread = threading.Thread(target=look if during is not None else print)
        thread.start()
        code = Presses().run(lambda: start_process([sys.executable, "-c", code], log))
        thread.join()
        return code, log.read_text()

    return run


def test_what_the_process_says_is_in_the_log_and_added_to_it(start):
    code, _ = start("import sys; print('one'); sys.exit(3)")
    assert code == 3
    code, log = start("import sys; print('two', file=sys.stderr)")
    assert (code, log.split()) == (0, ["one", "two"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_process_once(start, number):
    before = signal.getsignal(number)
    code, log = start(COUNTING.format(times=1), during=lambda: os.kill(os.getpid(), number))
    assert code == 130
    assert log.split("\n") == ["ready", "asked 1", ""]
    assert signal.getsignal(number) is before


@pytest.mark.slow
@pytest.mark.parametrize(("counts_to", "presses", "expected"), [(2, 2, 130), (9, 3, -9)])
def test_a_second_press_reaches_it_too_and_a_third_one_kills(
    start, counts_to, presses, expected, tmp_path
):
    def press():
        for number in range(1, presses + 1):
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1000 if number < 3 else 0):  # 10 s, should it never come
                if f"asked {number}" in (tmp_path / "worker.log").read_text():
                    break
                time.sleep(0.01)

    assert start(COUNTING.format(times=counts_to), during=press)[0] == expected


def test_it_leads_a_group_of_its_own_so_that_a_terminal_does_not_press_twice(start):
    _, log = start("import os; print(os.getpgid(0) == os.getpid())")
    assert log.strip() == "True"


def test_it_runs_beside_other_threads_where_signals_cannot_be_heard(start):
    codes = []
    thread = threading.Thread(target=lambda: codes.append(start("pass")[0]))
    thread.start()
    thread.join()
    assert codes == [0]


def test_a_process_is_not_left_behind_by_an_exception(tmp_path):
    process = start_process([sys.executable, "-c", "import time; time.sleep(30)"], tmp_path / "log")
    process.wait = lambda timeout=None, wait=process.wait: 1 / 0 if timeout else wait()
    with pytest.raises(ZeroDivisionError):
        Presses().run(lambda: process)
    assert process.returncode == -signal.SIGKILL


def test_exit_codes_in_words():
    assert describe_exit(1) == "the process ended with code 1"
    assert "SIGSEGV" in describe_exit(-11)
    assert "lack of memory" in describe_exit(-9)


def test_rows_are_planned_by_their_settings_and_images(load, plan_here):
    plan_here()
    suite = load(text='[[rows]]\nmethod = "simclr"\nbatch_size = 100\ndevices = 3\n')
    first, second, third = planning.plan_rows(suite.rows, ())
    # 1,797 digits, incomplete batches dropped: 28 batches of 64 in 4 epochs, 14 of 128 in 2.
    assert (first.num_images, first.epochs, first.steps) == (1797, 4, 4 * 28)
    assert (second.batch_size, second.steps) == (128, 2 * 14)
    assert "got 100 images, which cannot be divided equally among 3 devices" in third.problems[0]


def test_plugins_that_are_left_out_plan_nothing(load, plan_here):
    plan_here()
    first, _ = planning.plan_rows(load().rows, ["methods"])
    assert "simclr" in first.problems[0]


def test_a_process_that_fails_to_plan_is_told_with_its_last_line(load, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "Traceback\nMemoryError: no room\n")
    run = SimpleNamespace(run=lambda command, **options: failed)
    monkeypatch.setattr(planning, "subprocess", run)
    with pytest.raises(RunError, match="MemoryError: no room"):
        planning.plan_rows(load().rows, ())


def test_progress_follows_the_newest_step_and_then_the_evaluation(tmp_path):
    from lightly_core.benchmarking import running
    from lightly_core.benchmarking.state import RowFolder

    folder = RowFolder(tmp_path)
    folder.run.mkdir()
    task = SimpleNamespace(total=20, note="", steps=[])
    task.reach = task.steps.append
    running._follow(folder, task)
    assert task.steps == []
    lines = [json.dumps({"step": step}) for step in (5, 10)]
    (folder.run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    running._follow(folder, task)
    assert (task.steps, task.note) == ([10], "")
    folder.trained.write_text("{}")
    running._follow(folder, task)
    assert (task.steps, task.note) == ([10, 20], "evaluating")
