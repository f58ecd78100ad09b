"""What the launcher makes of the answers of submitit, which are made up here."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from submitit.core.utils import FailedJobError, FailedSubmissionError, UncompletedJobError
from waiting import Clock

from lightly_core.benchmarking.files import EXIT_INTERRUPTED
from lightly_core.contracts import RowEnd, RowJob, SuiteInfo
from lightly_core.errors import RunError
from lightly_slurm import launcher as module
from lightly_slurm.config import SlurmArgs
from lightly_slurm.launcher import SlurmLauncher
from lightly_slurm.task import run_row


class Job:
    """A job of submitit. It runs until a test sets its result, or an error and its state."""

    def __init__(self, job_id):
        self.job_id = job_id
        self.paths = SimpleNamespace(stderr=f"{job_id}.err")
        self.outcome, self.state = None, "RUNNING"

    def done(self):
        return self.outcome is not None

    def result(self):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class Executor:
    """Stands in for that of submitit."""

    def __init__(self):
        self.arrays = []

    def map_array(self, function, jobs):
        self.arrays.append((function, list(jobs)))
        return [Job(f"{len(self.arrays)}_{index}") for index in range(len(jobs))]


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(module, "time", found)
    return found


@pytest.fixture
def commands(monkeypatch):
    """What is called on the machine."""
    called = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: called.append(" ".join(command)))
    return called


def job(name):
    return RowJob(name, Path("job.json"), Path("worker.log"), Path())


def slurm(*names, say=print):
    """Return a launcher with the jobs of some rows."""
    launcher = SlurmLauncher(SlurmArgs(), SuiteInfo("suite", Path(), (), say))
    launcher._executor = Executor()
    if names:
        launcher.submit([job(name) for name in names])
    return launcher


def test_rows_are_submitted_as_one_array():
    said = []
    launcher = slurm("a", "b", say=said.append)
    assert launcher._executor.arrays == [(run_row, [job("a"), job("b")])]
    assert said == ["submitted 2 rows as slurm job 1"]


@pytest.mark.parametrize("error", [FailedSubmissionError("x"), FailedJobError("x")])
def test_a_submission_that_is_refused_is_explained(error):
    launcher = slurm()

    def refuse(function, jobs):
        raise error

    launcher._executor.map_array = refuse
    with pytest.raises(RunError, match="the rows cannot be submitted to SLURM: x"):
        launcher.submit([job("a")])


def test_each_end_is_returned_once(clock):
    launcher = slurm("a", "b")
    launcher._jobs["b"].outcome = RowEnd("b", 3)
    assert launcher.wait(0.0) == [RowEnd("b", 3)]
    assert launcher.wait(0.0) == []
    launcher._jobs["a"].outcome = RowEnd("a", 0)
    assert launcher.wait(0.0) == [RowEnd("a", 0)]
    assert launcher.wait(60.0) == []
    assert clock.now == 100.0


def test_it_waits_for_an_end_no_longer_than_asked(clock):
    launcher = slurm("a")
    assert launcher.wait(1.75) == []
    assert clock.now == 101.75


def test_an_end_is_seen_while_it_waits(clock, monkeypatch):
    launcher = slurm("a")

    def sleep(seconds):
        clock.now += seconds
        launcher._jobs["a"].outcome = RowEnd("a", 0)

    monkeypatch.setattr(clock, "sleep", sleep)
    assert launcher.wait(60.0) == [RowEnd("a", 0)]
    assert clock.now <= 101.0


@pytest.mark.parametrize(
    ("state", "end"),
    [
        ("PREEMPTED", RowEnd("a", EXIT_INTERRUPTED)),
        ("NODE_FAIL", RowEnd("a", EXIT_INTERRUPTED)),
        ("TIMEOUT by 7", RowEnd("a", EXIT_INTERRUPTED)),
        ("FAILED", RowEnd("a", None, "job 1_0 ended as FAILED, see 1_0.err")),
        ("CANCELLED by 7", RowEnd("a", None, "job 1_0 ended as CANCELLED by 7, see 1_0.err")),
    ],
)
@pytest.mark.parametrize("error", [FailedJobError("x"), UncompletedJobError("x")])
def test_a_job_without_result_was_interrupted_by_its_machine_or_failed(clock, error, state, end):
    launcher = slurm("a")
    launcher._jobs["a"].outcome, launcher._jobs["a"].state = error, state
    assert launcher.wait(0.0) == [end]


def test_closing_cancels_the_rows_that_still_run_once(commands, clock):
    launcher = slurm("a", "b", "c")
    launcher._jobs["b"].outcome = RowEnd("b", 0)
    launcher.wait(0.0)
    launcher.close()
    launcher.close()
    assert commands == ["scancel 1_0 1_2"]
