"""Calls whose caller waits for a limited time."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from lightly_core.engine.limited import call_within


def test_what_the_function_returns_is_returned():
    assert call_within(30, lambda: 3) == 3


def test_an_error_of_the_function_is_raised():
    with pytest.raises(ZeroDivisionError):
        call_within(30, lambda: 1 / 0)


def test_a_function_that_does_not_return_is_left():
    go_on = threading.Event()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        call_within(0.05, go_on.wait)
    go_on.set()


def test_a_timeout_of_the_function_is_raised_as_it_is():
    def fail():
        raise TimeoutError("of the function")

    with pytest.raises(TimeoutError, match="of the function"):
        call_within(30, fail)


#: Waits a second for a function that takes half of it, which is stopped in between.
PROGRAM = """
import time
from lightly_core.engine.limited import call_within

def work():
    print("begun", flush=True)
    for _ in range(50):
        time.sleep(0.01)
    return "done"


print(call_within(1, work))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="Windows stops no process")
def test_time_in_which_the_process_is_stopped_does_not_count():
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGSTOP)
    time.sleep(1.5)
    process.send_signal(signal.SIGCONT)
    assert process.communicate(timeout=60)[0] == "done\n"
