"""Processes that do not start, without waiting for one that imports torch."""

import subprocess

import pytest

from lightly_core.testing import ProcessGroup, processes


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        ("echo no module; exit 3", "ended with exit status 3. Its output:\nno module\n"),
        ("echo waiting; exec sleep 60", "did not answer in time. Its output:\nwaiting\n"),
    ],
    ids=["ends", "hangs"],
)
def test_processes_that_do_not_start_are_reported_with_their_words(act, expected, monkeypatch):
    start = subprocess.Popen

    shell = ["sh", "-c", act]
    monkeypatch.setattr(subprocess, "Popen", lambda command, **options: start(shell, **options))
    monkeypatch.setattr(processes, "_SECONDS_TO_START", 0.1)
    monkeypatch.setattr(processes, "_SECONDS_FOR_A_TRACEBACK", 0.0)
    with pytest.raises(RuntimeError, match="'start' failed in a group of 2 processes") as failed:
        ProcessGroup(2).run(test_processes_that_do_not_start_are_reported_with_their_words)
    for rank in (0, 1):
        assert f"Process {rank} {expected}" in str(failed.value)
