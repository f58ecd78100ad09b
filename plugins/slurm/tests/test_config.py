import os
import subprocess
from types import SimpleNamespace

import pytest

from lightly_core.config.reading.structure import structure
from lightly_core.contracts import SuiteInfo
from lightly_core.errors import ConfigError
from lightly_slurm import launcher
from lightly_slurm.config import SlurmArgs, problems
from lightly_slurm.launcher import SlurmLauncher


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"mem": "much"}, "an amount such as 32GB, got 'much'"),
        ({"time": 2, "save_seconds": 120}, "must be less than 'time', got 120 s of 120 s"),
        ({"cluster": "local", "setup": ["a"]}, "'setup' is for cluster=slurm"),
        ({"cpus": 0}, "cpus"),
        ({"partition": ""}, "partition"),
    ],
)
def test_wrong_options_are_refused(given, expected):
    with pytest.raises(ConfigError, match=expected):
        structure(given, SlurmArgs, path="suite.launcher_args")


def test_a_machine_without_slurm_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (problem,) = problems(SlurmArgs())
    assert "'sbatch' of SLURM was not found" in problem
    assert problems(SlurmArgs(cluster="local")) == []
    sbatch = tmp_path / ("sbatch.exe" if os.name == "nt" else "sbatch")
    sbatch.touch(mode=0o755)
    assert problems(SlurmArgs()) == []


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("save", ["scancel --state=PENDING 7_0 7_2", "scancel --signal=TERM 7_0 7_2"]),
        ("now", ["scancel --state=PENDING 7_0 7_2", "scancel --signal=TERM 7_0 7_2"]),
        ("kill", ["scancel 7_0 7_2"]),
    ],
)
def test_rows_are_stopped_by_signals_and_jobs_that_wait_are_cancelled(
    tmp_path, monkeypatch, how, expected
):
    called = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: called.append(" ".join(command)))
    monkeypatch.setattr(os, "kill", lambda *process: called.append(process))  # for local jobs only
    slurm = SlurmLauncher(SlurmArgs(), SuiteInfo("suite", tmp_path, (), print))
    slurm._jobs = {name: SimpleNamespace(job_id=f"7_{n}") for n, name in enumerate("abc")}
    slurm.stop(["a", "c", "unknown"], how)
    assert called == expected
    called.clear()
    slurm.stop(["unknown"], how)
    assert called == []


def test_what_is_asked_of_slurm(tmp_path):
    config = SlurmArgs(gpus=2, cpus=8, qos="high", options={"constraint": "a100"})
    given = SlurmLauncher(config, SuiteInfo("suite", tmp_path, (), print))._parameters()
    assert given == {
        "name": "lightly-suite",
        "timeout_min": 240,
        "cpus_per_task": 8,
        "gpus_per_node": 2,
        "tasks_per_node": 1,
        "slurm_qos": "high",
        "slurm_array_parallelism": 256,
        "slurm_signal_delay_s": 120,
        "slurm_additional_parameters": {"no-requeue": True, "constraint": "a100"},
    }
    assert launcher.SlurmLauncher.row_machine(config).gpus == 2
