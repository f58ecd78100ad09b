"""The launcher of a suite, and the rows that a row needs."""

import sys

import pytest

from lightly_core.benchmarking import node, planning
from lightly_core.benchmarking.files import EXIT_INTERRUPTED
from lightly_core.benchmarking.node import run_on_node
from lightly_core.benchmarking.placeholder import rows_named
from lightly_core.cli.main import main
from lightly_core.contracts import RowJob, RowMachine
from lightly_core.errors import ConfigError


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        (["launcher=locl"], "unknown launcher 'locl'.*did you mean 'local'"),
        (["launcher=slurmm"], "unknown launcher 'slurmm'"),
        (["launcher_args.rows_at_once=0"], "suite.launcher_args.rows_at_once"),
        (["launcher_args.gpus=1"], "suite.launcher_args .*: unknown key 'gpus'"),
    ],
)
def test_a_wrong_launcher_is_refused_with_the_mistakes_of_the_rows(load, pairs, expected):
    with pytest.raises(ConfigError, match=f"(?s){expected}.*nonsense"):
        load(*pairs, "run.nonsense=1")


def test_rows_that_settings_name():
    earlier = ["a", "a-b1", "c"]
    assert rows_named([{"x": ["{out}/a-b1/run/last.pt", "{out}/c"]}, None], earlier) == (
        "a-b1",
        "c",
    )
    assert rows_named([{"x": "no placeholder", "a": 3}], earlier) == ()
    assert rows_named([{"x": "{out}/results.csv"}], earlier) == ("a", "a-b1", "c")


def test_a_plan_is_that_of_the_machine_of_the_row(load, plan_here):
    plan_here()
    row = load("run.batch_size=64", "run.devices=auto").rows[0]
    (here,) = planning.plan_rows([row], ())
    (there,) = planning.plan_rows([row], (), RowMachine(cpus=3, gpus=1))
    assert here.accelerator == "cpu"
    assert there.accelerator not in ("cpu", "")
    assert there.steps == here.steps


def test_a_row_whose_folder_another_machine_cannot_see_does_not_start(tmp_path, monkeypatch):
    monkeypatch.setattr("lightly_core.benchmarking.node._SECONDS_TO_APPEAR", 0.0)
    job = RowJob("row", tmp_path / "no/job.json", tmp_path / "no/worker.log", tmp_path)
    end = run_on_node(job)
    assert end.code is None
    assert f"'{job.job}' does not exist on" in end.problem
    assert "storage that all machines share" in end.problem


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals that end a process")
@pytest.mark.parametrize(("number", "code"), [("SIGTERM", EXIT_INTERRUPTED), ("SIGKILL", -9)])
def test_a_row_that_ends_by_a_signal_to_save_was_interrupted(tmp_path, monkeypatch, number, code):
    act = f"import os, signal; os.kill(os.getpid(), signal.{number})"
    monkeypatch.setattr(node, "row_command", lambda job, watched: [sys.executable, "-c", act])
    (tmp_path / "job.json").touch()
    job = RowJob("row", tmp_path / "job.json", tmp_path / "worker.log", tmp_path)
    assert run_on_node(job).code == code


def test_the_help_shows_the_options_of_the_launcher(capsys):
    assert main(["benchmark", "--help"]) == 0
    assert "launcher_args.rows_at_once (int, default 1)" in capsys.readouterr().out
