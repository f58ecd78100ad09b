import importlib.util
from pathlib import Path

import pytest

import lightly_core

EXAMPLE = Path(__file__).parents[3] / "examples/continue_pretraining.py"


@pytest.fixture
def example():
    spec = importlib.util.spec_from_file_location("continue_pretraining", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.families
def test_the_ways_of_going_on_are_measured(example, tmp_path, monkeypatch, capsys):
    pretrain = lightly_core.pretrain

    def short(**settings):
        return pretrain(trainer_args={"limit_train_batches": 2}, **settings)

    monkeypatch.setattr(lightly_core, "pretrain", short)
    command = ["example", str(tmp_path), "--first-epochs", "1", "--epochs", "1"]
    monkeypatch.setattr("sys.argv", command)
    example.main()
    lines = [line for line in capsys.readouterr().out.splitlines() if line[20:].strip()]
    rows = {
        line[:20].strip(): line[20:].split() for line in lines if line[:20].strip() in example.WAYS
    }
    assert list(rows) == ["all at once", "heads first", "heads first, anchor"]
    for first, second in rows.values():
        assert float(first) > 20
        assert float(second) > 20
    assert rows["all at once"][0] != rows["all at once"][1]
    # Where only the heads have learned, the network is the one that came in.
    for name in ("heads first", "heads first, anchor"):
        assert rows[name][0] == rows[name][1]
