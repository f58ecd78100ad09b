import pytest

import lightly_core
from lightly_core.benchmarking import command


@pytest.mark.slow
def test_the_function_writes_all_files_and_returns_the_rows(suite_file, load, workers):
    workers.suite = load("run.seed=3", "only=simclr-b64")
    results = lightly_core.benchmark(suite_file(), run={"seed": 3}, only=["simclr-b64"])
    assert [(row.name, row.state, row.scores.knn_top1) for row in results] == [
        ("simclr-b64", "finished", 0.5)
    ]
    assert isinstance(results[0], lightly_core.RowResult)
    folder = workers.suite.folder
    written = {path.name for path in folder.iterdir() if path.is_file()}
    assert written >= {"results.csv", "results.md", "accuracy.png", "accuracy.svg"}
    page = (folder / "results.md").read_text()
    assert "run={'seed': 3}" in page
    assert workers.jobs[0]["run"]["seed"] == 3


def test_tables_are_written_without_matplotlib_and_a_line_says_what_to_install(
    suite_file, load, workers, monkeypatch, capsys
):
    monkeypatch.setattr(command, "can_plot", lambda: False)
    workers.suite = load()
    lightly_core.benchmark(suite_file())
    assert "pip install 'lightly-core[benchmark]'" in capsys.readouterr().out
    written = {path.name for path in workers.suite.folder.iterdir() if path.is_file()}
    assert "results.md" in written
    assert "accuracy.png" not in written


@pytest.mark.slow
def test_keys_of_addresses_do_not_reach_the_table(suite_file, load, workers):
    address = "run.model_args.url=https://somewhere/x?key=secret"
    workers.suite = load(address)
    command.benchmark_suite(
        suite_file(), pairs=[address], command=f"lightly benchmark x {address}", say=print
    )
    page = (workers.suite.folder / "results.md").read_text()
    assert "https://somewhere/x" in page
    assert "secret" not in page
