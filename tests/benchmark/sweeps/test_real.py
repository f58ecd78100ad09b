"""A sweep of real processes."""

import json

import pytest

from lightly_core import list_runs
from lightly_core.benchmarking.sweeps import schedule
from lightly_core.cli.main import main

pytestmark = pytest.mark.processes

# The second trial is warmed up for 200 epochs, the first for a tenth of its two. So the second is
# worse after an epoch. It has far more steps than it can take before it is stopped.
SUITE = """
name = "real"
out = "{folder}/out"
data.train = "builtin:digits"
evaluate = false

[run]
model = "timm/test_resnet"
num_workers = 0
batch_size = 256
accelerator = "cpu"
optim = "adamw"
optim_args = {{ lr = 2e-3, lr_scale_method = "none", warmup_epochs = 200 }}
transform_args.image_size = 16
callbacks = {{ knn.every_n_epochs = 1, signals = false, report = false }}
loggers.tensorboard = false

[[rows]]
name = "search"
method = "simclr"
sweep = {{ startup_trials = 1, space.epochs = [2, 2000] }}
"""


def test_a_trial_that_falls_behind_is_stopped_and_saved(tmp_path, monkeypatch, capsys, plan_here):
    suite = tmp_path / "suite.toml"
    suite.write_text(SUITE.format(folder=tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(schedule, "_LOOK_SECONDS", 0.0)
    plan_here()
    code = main(["benchmark", str(suite)])
    said = capsys.readouterr()
    assert code == 0, said.out + said.err
    folder = tmp_path / "out/search"
    first, second = (
        json.loads((folder / f"trial-00{number}/trial.json").read_text()) for number in (0, 1)
    )
    assert (first["state"], second["state"]) == ("finished", "pruned")
    assert [epoch for epoch, _ in first["points"]] == [1, 2]
    epoch, value = second["points"][-1]
    assert value < first["points"][epoch - 1][1]
    assert (folder / "trial-001/run/checkpoints/last.ckpt").is_file()
    assert json.loads((folder / "trial-001/run/status.json").read_text())["state"] == "interrupted"
    assert (folder / "best.toml").read_text().count("epochs = 2\n") == 1
    notes = {run.name: run.reason for run in list_runs(tmp_path / "out")}
    assert notes == {"search/trial-000": None, "search/trial-001": "its sweep stopped it early"}
    assert main(["benchmark", str(suite)]) == 0
    assert "[1/1] search: finished earlier" in capsys.readouterr().out
