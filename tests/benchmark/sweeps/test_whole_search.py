"""A suite with a sweep, from its file to its tables. Trials are computed in place of processes."""

import csv
import json
import math
from pathlib import Path

import pytest

from lightly_core.benchmarking import command, state
from lightly_core.benchmarking.results import row_results
from lightly_core.benchmarking.sweeps.best import word
from lightly_core.benchmarking.table import markdown
from lightly_core.config.reading.keyvalue import parse_pairs
from lightly_core.config.reading.load import load_settings
from lightly_core.errors import ConfigError

SUITE = """
name = "tiny"
out = "{folder}/out"
evaluate = false
data.train = "builtin:digits"
run = {{ model = "timm/test_resnet", epochs = 3, transform_args.image_size = 32 }}
[[rows]]
name = "s"
method = "simclr"
[rows.sweep]
startup_trials = 1
[rows.sweep.space]
"optim_args.lr" = [0.3, 0.2, 0.1, 0.4]
"""
VALUES = {0.3: 0.5, 0.2: 0.7, 0.1: 0.3, 0.4: 0.8}


@pytest.fixture
def run(suite_file, load, workers, training, monkeypatch):
    """Run the suite; the kNN accuracy rises to that of `VALUES`, by learning rate."""

    def act(job):
        folder = state.RowFolder(Path(job["folder"]))
        value = call.values[job["run"]["optim_args"]["lr"]]
        if value is None:
            state.write(folder.failure, {"error": "no!"})
            return 1
        derived = {"steps_per_epoch": 1, "total_steps": 3}
        state.write(folder.run / "config.json", {"derived": derived})
        lines = [{"step": step, "knn/top1": value - (3 - step) / 10} for step in (1, 2, 3)]
        (folder.run / "metrics.jsonl").write_text("".join(json.dumps(n) + "\n" for n in lines))
        if call.images is not None:
            status = {"state": "finished", "started": "", "knn_images": call.images}
            state.write(folder.run / "status.json", status)
        state.write(folder.trained, training(curve=((0, 0.1), (3, value)), epochs=3))
        state.write(folder.result, {})
        return 0

    def call(*pairs, text="", whole=SUITE):
        workers.suite = load(*pairs, text=text, whole=whole)
        workers.acts = {f"s/trial-{number:03d}": act for number in range(6)}
        workers.acts |= call.acts
        said, call.said = [], []
        file = suite_file(text, whole=whole)
        try:
            return command.benchmark_suite(file, pairs=pairs, command="x", say=said.append)
        finally:
            call.said = [line for line in said if line.startswith("[")]

    call.acts, call.values, call.images = {}, VALUES, None
    monkeypatch.setattr(command, "can_plot", lambda: False)
    return call


def names(workers):
    return [job["folder"].rpartition("/")[2] for job in workers.jobs]


def test_the_row_shows_its_best_trial_and_the_trials_have_a_table(run, workers, catalog):
    (result,) = run()
    assert (result.name, result.state, result.scores.knn_top1) == ("s", "finished", 0.8)
    assert (result.best.name, result.best.values) == ("trial-003", {"optim_args.lr": 0.4})
    out = workers.suite.folder
    with (out / "s/trials.csv").open(newline="") as file:
        rows = [(row["optim_args.lr"], row["State"], row["Epochs"], row["knn/top1"])
                for row in csv.DictReader(file)]  # fmt: skip
    assert rows == [
        ("0.3", "finished", "3", "0.5"),
        ("0.2", "finished", "3", "0.7"),
        ("0.1", "pruned", "1", repr(0.3 - 0.2)),
        ("0.4", "finished", "3", "0.8"),
    ]
    page = (out / "results.md").read_text()
    assert (
        "- s: trial-003 of 3 finished, 1 pruned, with optim_args.lr=0.4 (see s/trials.csv)" in page
    )
    section = page.partition("## Sweep s")[2]
    ranked = [line[2:11] for line in section.splitlines() if line.startswith("| trial-")]
    assert ranked == ["trial-003", "trial-001", "trial-000", "trial-002"]
    best = load_settings(
        catalog=catalog, config_file=str(out / "s/best.toml"), pairs=[f"out={out}/s/trial-003/run"]
    )
    assert best == result.row.settings
    assert best.optimizer.lr == 0.4


def test_what_is_said_names_values_and_the_best(run):
    run()
    assert run.said[0].startswith("[1/1] s/trial-000: starting, optim_args.lr=0.3, log in ")
    assert "[1/1] s/trial-002: pruned after epoch 1, knn/top1 0.1" in run.said
    assert run.said[-1].startswith(
        "[1/1] s: best is trial-003 of 3 finished, 1 pruned, knn/top1 0.8\n  optim_args.lr=0.4\n"
    )


def test_accuracies_of_trials_have_their_standard_error_in_texts_only(run, workers):
    run.images = 98
    run()
    # With one correct and one wrong answer added: (0.8 * 98 + 1) / 100 = 0.794 of 100 images.
    exact = f"80.0 ± {100 * math.sqrt(0.794 * 0.206 / 100):.1f} %"
    out = workers.suite.folder
    (row,) = (
        line for line in (out / "results.md").read_text().splitlines() if "| trial-003" in line
    )
    assert row.split(" | ")[-1] == f"{exact} |"
    assert f", knn/top1 {exact}\n" in run.said[-1]
    assert (out / "s/best.toml").read_text().splitlines()[0].endswith(f"knn/top1 {exact}")
    with (out / "s/trials.csv").open(newline="") as file:
        assert [row["knn/top1"] for row in csv.DictReader(file)][3] == "0.8"


@pytest.mark.slow
def test_a_finished_sweep_is_kept(run, workers):
    run()
    run()
    assert len(workers.jobs) == 4
    assert run.said == ["[1/1] s: finished earlier"]


@pytest.mark.slow
def test_a_sweep_that_was_stopped_goes_on(run, workers):
    def stop(job):
        raise KeyboardInterrupt

    run.acts = {"s/trial-001": stop}
    with pytest.raises(KeyboardInterrupt):
        run()
    (result,) = row_results(workers.suite)
    assert (result.state, result.best.name) == ("interrupted", "trial-000")
    assert "- s: not finished" in markdown(workers.suite, [result], "")
    run.acts = {}
    (result,) = run()
    assert (result.state, result.best.name) == ("finished", "trial-003")
    assert names(workers) == ["trial-000", "trial-001", "trial-001", "trial-002", "trial-003"]


@pytest.mark.slow
def test_other_settings_are_refused_and_with_overwrite_all_trials_run_again(run, workers):
    run()
    with pytest.raises(ConfigError, match=r"s: sweep.metric: was 'knn/top1', now 'train_loss'"):
        run(whole=SUITE.replace("startup_trials = 1", "startup_trials = 1\nmetric = 'train_loss'"))
    with pytest.raises(ConfigError, match=r"s: run.epochs: was 3, now 5"):
        run("run.epochs=5")
    run("run.epochs=5", "overwrite=true")
    assert names(workers) == 2 * [f"trial-{number:03d}" for number in range(4)]


@pytest.mark.slow
def test_failed_trials_are_kept_unless_none_has_finished(run, workers):
    run.values = dict.fromkeys(VALUES)
    (result,) = run()
    assert (result.state, result.error) == ("failed", "no trial has finished; the first error: no!")
    assert run.said[-1] == "[1/1] s: FAILED: no trial has finished (4 failed)"
    run.values = VALUES | {0.3: None}
    (result,) = run()
    assert [trial.state for trial in result.trials][:2] == ["failed", "finished"]
    assert len(workers.jobs) == 8
    run()
    assert len(workers.jobs) == 8


def test_the_words_of_a_value_are_read_back():
    for value in (1, 0.5, 1e-5, True, None, "a/b", "none", "3", "a b", [1, 2.5], {"a": [False]}):
        assert parse_pairs([f"x={word(value)}"])["x"] == value


@pytest.mark.slow
def test_best_settings_with_none_are_written_as_toml_can(run, workers, catalog):
    none = ["run.callbacks.knn.every_n_epochs=none", "run.callbacks.signals=none", "run.seed=none"]
    (result,) = run(*none)
    out = workers.suite.folder
    best = load_settings(
        catalog=catalog, config_file=str(out / "s/best.toml"), pairs=[f"out={out}"]
    )
    assert best.callbacks == result.row.settings.callbacks
    assert best.callbacks.signals is None
    assert best.run.seed is None
