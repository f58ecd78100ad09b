from types import SimpleNamespace

import pytest

import lightly_core.api
from lightly_core.benchmarking import command
from lightly_core.benchmarking.planning import Plan


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "suite.toml"
    path.write_text(
        f"""
name = "tiny"
out = "{tmp_path}/out"
data.train = "builtin:digits"
run = {{ model = "timm/test_resnet", epochs = 4 }}
[[rows]]
method = "simclr"
"""
    )
    return str(path)


@pytest.fixture
def planned(monkeypatch):
    """Stand in for the process that plans."""

    def plan_rows(rows, blocked, machine):
        return [Plan(num_images=9, batch_size=3, epochs=4, steps=12, accelerator="cpu")] * len(rows)

    monkeypatch.setattr(command, "plan_rows", plan_rows)


def test_help_shows_the_keys_of_suite_and_row(run):
    code, out, _ = run("benchmark", "--help")
    assert code == 0
    assert "lightly benchmark SUITE.toml" in out
    for key in ("data.train", "overrides", "reference", "sizes"):
        assert f"  {key} (" in out


def test_dry_run_shows_the_rows_and_writes_nothing(run, suite, planned, tmp_path):
    code, out, _ = run("benchmark", suite, "--dry-run", "run.seed=1")
    assert code == 0
    row = out.splitlines()[1].split()
    assert row[:7] == ["simclr", "simclr", "timm/test_resnet", "9", "3", "4", "12"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "expected the file of a suite"),
        (["missing.toml"], "the config file 'missing.toml' does not exist"),
        (["SUITE", "other.toml"], "expected key=value, got 'other.toml'"),
        (["SUITE", "--only", "simclr"], "settings have no dashes, write only=simclr"),
        (["SUITE", "--dry-rum"], "did you mean '--dry-run'?"),
        (["SUITE", "run.epochs=-1"], "row 'simclr': config.epochs (from 'run.epochs=-1'): must"),
        (["SUITE", "onyl=a"], "unknown key 'onyl', did you mean 'only'?"),
    ],
)
def test_wrong_words_are_answered(run, suite, words, expected):
    code, _, err = run("benchmark", *(suite if word == "SUITE" else word for word in words))
    assert code == 2
    assert expected in err


def test_a_row_that_fails_makes_the_exit_code_1(run, suite, monkeypatch):
    states = [("finished", True), ("failed", False)]
    asked = []

    def start(file, pairs, *, command):
        asked.append((file, list(pairs), command))
        return [SimpleNamespace(state=state, chosen=chosen) for state, chosen in states]

    monkeypatch.setattr(lightly_core.api, "benchmark_from_command_line", start)
    assert run("benchmark", suite, "run.seed=1")[0] == 0
    assert asked == [(suite, ["run.seed=1"], f"lightly benchmark {suite} run.seed=1")]
    states.append(("failed", True))
    assert run("benchmark", suite)[0] == 1
