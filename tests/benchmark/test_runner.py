import json
import os
import signal
import stat

import pytest

from lightly_core.benchmarking import runner, state
from lightly_core.benchmarking.planning import Plan
from lightly_core.benchmarking.results import row_results
from lightly_core.benchmarking.runner import run_suite
from lightly_core.engine.lock import held
from lightly_core.errors import ConfigError, RunError, RunInterrupted


@pytest.fixture
def run(load, workers):
    """Run the small suite; gives results, and what was said and written."""

    def call(*pairs, text="", **options):
        suite = workers.suite = load(*pairs, text=text)
        said, written = [], []
        call.said, call.written = said, written
        return run_suite(suite, write=written.append, say=said.append, **options)

    return call


def names(workers):
    return [job["folder"].rpartition("/")[2] for job in workers.jobs]


def test_all_rows_run_and_the_tables_are_written_after_each(run, workers):
    results = run()
    assert [result.state for result in results] == ["finished", "finished"]
    assert results[0].measured.scores.knn_top1 == 0.5
    states = [[result.state for result in results] for results in run.written]
    assert states == [["waiting"] * 2, ["finished", "waiting"], ["finished"] * 2]


def test_finished_rows_are_kept(run, workers):
    run("only=simclr-b64")
    run()
    assert names(workers) == ["simclr-b64", "simclr-b128-e2"]
    assert run.said[0] == "[1/2] simclr-b64: finished earlier"
    # Before the first row and after the second: nothing is new after one that is kept.
    assert len(run.written) == 2


def test_what_a_row_begins_and_ends_with_is_said(run, workers, evaluation, made):
    def finish(worker):
        finetuned = {**evaluation()[1], "protocol": "finetune", "top1": 0.8}
        made(workers.suite, "simclr-b64", evaluation=[*evaluation(), finetuned])

    workers.acts["simclr-b64"] = finish
    run("only=simclr-b64")
    folder = state.RowFolder(workers.suite.folder / "simclr-b64")
    start = f"7 steps of 64 images on cpu, log in {folder.log}"
    scores = "kNN 50.0 %, untrained 30.0 %, linear 70.0 %, fine-tuned 80.0 %, 1.5 min"
    assert run.said == [f"[1/1] simclr-b64: starting, {start}", f"[1/1] simclr-b64: {scores}"]

    folder.result.unlink()  # as if its evaluation had not ended
    workers.acts["simclr-b64"] = lambda worker: state.write(folder.failure, {"error": "no!\nhelp"})
    run("only=simclr-b64")
    assert run.said == [
        f"[1/1] simclr-b64: evaluating what is trained, {start}",
        f"[1/1] simclr-b64: FAILED: no!\n  see {folder.log}",
    ]

    folder.trained.unlink()
    (folder.run / "checkpoints").mkdir(parents=True)
    (folder.run / "checkpoints/last.ckpt").touch()
    run("only=simclr-b64")
    assert run.said[0] == f"[1/1] simclr-b64: resuming, {start}"


def test_plugins_that_are_left_out_are_named_in_the_job(run, workers):
    run("only=simclr-b64", blocked_plugins=("acme",))
    assert workers.jobs[0]["blocked_plugins"] == ["acme"]


def test_rows_that_were_never_wanted_are_not_in_the_results(run):
    assert [result.row.name for result in run("only=simclr-b64")] == ["simclr-b64"]
    assert [result.row.name for result in run("only=simclr-b128-e2")] == [
        "simclr-b64",
        "simclr-b128-e2",
    ]


def test_a_row_that_fails_stops_no_other_and_is_tried_again(run, workers):
    def fail(worker):
        state.write(state.RowFolder(workers.suite.folder / "simclr-b64").failure, {"error": "no!"})
        return 1

    workers.acts["simclr-b64"] = fail
    results = run()
    assert [(result.state, result.error) for result in results] == [
        ("failed", "no!"),
        ("finished", None),
    ]
    workers.acts.clear()
    assert [result.state for result in run()] == ["finished", "finished"]


def test_a_process_that_dies_without_a_word_is_a_failure_with_its_signal(run, workers):
    workers.acts["simclr-b64"] = lambda worker: -9
    failed = run()[0]
    assert failed.state == "failed"
    assert "SIGKILL" in failed.error


def test_ctrl_c_writes_the_tables_and_starts_no_further_row(run, workers):
    def stop(job):
        os.kill(os.getpid(), signal.SIGINT)
        return 130

    workers.acts["simclr-b64"] = stop
    with pytest.raises(RunInterrupted, match="row 'simclr-b64'"):
        run()
    assert names(workers) == ["simclr-b64"]
    assert workers.stops == [(("simclr-b64",), "save")]
    assert [result.state for result in run.written[-1]] == ["interrupted", "waiting"]


def test_rows_that_run_together_are_submitted_together_and_stopped_together(run, workers):
    workers.capacity = None
    workers.acts["simclr-b64"] = lambda job: os.kill(os.getpid(), signal.SIGTERM) or 130
    workers.acts["simclr-b128-e2"] = lambda job: 130
    with pytest.raises(RunInterrupted, match="rows 'simclr-b64', 'simclr-b128-e2'; the same"):
        run()
    assert workers.stops == [(("simclr-b64", "simclr-b128-e2"), "save")]
    workers.acts.clear()
    run()
    # Both at once, in the order of the suite.
    states = [[result.state for result in results] for results in run.written]
    assert states == [["interrupted"] * 2, ["finished"] * 2]


def test_a_row_waits_for_the_rows_whose_files_it_needs(run, workers):
    workers.capacity = None
    text = """
[[rows]]
method = "byol"
checkpoint = "{out}/simclr-b64/run/exported_models/exported_last.pt"
[[rows]]
method = "dino"
"""
    order = []
    for name in ("simclr-b64", "simclr-b128-e2", "byol", "dino"):
        workers.acts[name] = lambda job, name=name: order.append(name) or 1
    run(text=text)
    assert order == ["simclr-b64", "simclr-b128-e2", "dino", "byol"]


def test_a_row_that_its_machine_interrupts_is_submitted_again(run, workers):
    codes = [1, 130, 130]
    workers.acts["simclr-b64"] = lambda job: codes.pop()
    workers.elsewhere = True
    run()
    assert names(workers) == ["simclr-b64"] * 3 + ["simclr-b128-e2"]
    assert [line for line in run.said if "again" in line] == [
        "[1/2] simclr-b64: interrupted by its machine, submitted again"
    ] * 2


def test_a_row_that_no_machine_could_run_says_why(run, workers):
    workers.elsewhere = True
    workers.acts["simclr-b64"] = lambda job: "lost"
    assert run("only=simclr-b64")[0].error == "lost"


def test_changed_settings_are_refused_with_the_difference(run, workers):
    run()
    with pytest.raises(ConfigError, match=r"simclr-b64: run.epochs: was 4, now 9") as caught:
        run("run.epochs=9")
    assert "simclr-b128-e2: run.epochs: was 2, now 9" in str(caught.value)
    assert len(workers.jobs) == 2


def test_overwrite_does_the_changed_rows_anew_and_no_other(run, workers):
    run()
    # The second row has its own epochs, the first has those of [run].
    file_text = "[overrides.simclr]\nepochs = 5\n"
    run("overwrite=true", text=file_text)
    assert names(workers) == ["simclr-b64", "simclr-b128-e2", "simclr-b64"]


def test_settings_that_change_no_number_may_change(run, workers):
    run("run.num_workers=1")
    run("run.num_workers=2", "run.loader_args.prefetch_factor=2")
    assert len(workers.jobs) == 2


def test_a_changed_evaluation_keeps_the_training(run, workers):
    run("only=simclr-b64")
    folder = state.RowFolder(workers.suite.folder / "simclr-b64")
    folder.run.mkdir()
    seen = []
    workers.acts["simclr-b64"] = lambda worker: seen.append(
        (folder.trained.is_file(), folder.run.is_dir(), folder.evaluation.is_file())
    )
    run("only=simclr-b64", "evaluate.linear=false", "overwrite=true")
    assert seen == [(True, True, False)]
    run("only=simclr-b64", "run.seed=3", "evaluate.linear=false", "overwrite=true")
    assert seen[1] == (False, False, False)


def test_rows_that_cannot_run_here_are_all_named_before_one_starts(run, workers, monkeypatch):
    def plan_rows(rows, blocked, machine):
        return [Plan(problems=(f"no room for {row.name}",)) for row in rows]

    monkeypatch.setattr(runner, "plan_rows", plan_rows)
    with pytest.raises(ConfigError) as caught:
        run()
    assert caught.value.problems == (
        "row 'simclr-b64': no room for simclr-b64",
        "row 'simclr-b128-e2': no room for simclr-b128-e2",
    )
    assert workers.jobs == []
    assert not workers.suite.folder.exists()


@pytest.mark.slow
def test_a_second_process_is_refused(run, load, workers):
    folder = load().folder
    folder.mkdir(parents=True)
    with held(folder), pytest.raises(RunError, match="another process"):
        run()
    assert workers.jobs == []


def test_keys_of_addresses_are_read_by_the_process_only_and_written_nowhere(run, workers):
    modes = []

    def look(worker):
        job = workers.suite.folder / "distillationv1/job.json"
        modes.append(stat.S_IMODE(job.stat().st_mode))
        return 1

    workers.acts["distillationv1"] = look
    text = """
[[rows]]
method = "distillationv1"
method_args.teacher_url = "https://somewhere/file?key=secret"
"""
    run("only=distillationv1", text=text)
    assert "secret" in workers.jobs[0]["run"]["method_args"]["teacher_url"]
    assert modes == [0o600]
    left = [path for path in workers.suite.folder.rglob("*") if path.is_file()]
    assert not (workers.suite.folder / "distillationv1/job.json").exists()
    assert all("secret" not in path.read_text() for path in left)


def test_a_damaged_file_is_named(run, workers):
    run()
    folder = state.RowFolder(workers.suite.folder / "simclr-b64")
    folder.settings.write_text("{")
    with pytest.raises(ConfigError, match="is damaged"):
        run()


def test_numbers_of_other_settings_are_not_shown(run, load):
    run()
    (first, _) = row_results(load("run.epochs=9"))
    assert (first.state, first.measured) == ("waiting", None)


def test_the_job_names_images_for_training_and_evaluation(run, workers):
    run("only=simclr-b64", "evaluate.seed=3")
    (job,) = workers.jobs
    assert job["run"]["data"] == job["evaluate"]["data"] == "builtin:digits"
    assert job["evaluate"]["seed"] == 3
    settings = json.loads((workers.suite.folder / "simclr-b64/row.json").read_text())
    assert settings["settings"]["run"]["batch_size"] == 64
