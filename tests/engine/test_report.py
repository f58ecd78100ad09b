"""The report at the end of a run: never a cause of other numbers, nor of a failure."""

import json
import os

import pytest

import lightly_core
from lightly_core import RunError
from lightly_core.reporting import page
from lightly_core.reporting.reading import read_run


def numbers(folder):
    """All that training has logged, without times."""
    timed = ("images_per_second", "data_wait")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in timed} for line in lines]


@pytest.mark.slow
def test_a_run_trains_alike_with_and_without_a_report(tmp_path, short_run, pretrain):
    with_it = pretrain(**short_run(out=tmp_path / "with"))
    without = pretrain(**short_run(out=tmp_path / "without", callbacks={"report": None}))
    assert numbers(with_it.folder) == numbers(without.folder)
    assert (with_it.folder / "report.html").is_file()
    assert not {"report.html", "report_data"} & {path.name for path in without.folder.iterdir()}


def test_a_finished_run_is_recorded(finished):
    run = read_run(finished.result.folder)
    assert (run.record.status, run.record.steps, run.record.num_images) == ("finished", 6, 24)
    assert run.record.exported[0] == "exported_models/exported_last.pt"
    assert run.record.snippet == finished.result.snippet
    assert {"out", "batch_size", "transform_args.image_size"} <= set(run.record.given)
    assert "optim" in run.record.auto
    assert run.record.machine["CPUs"] == str(os.cpu_count())


@pytest.mark.slow
def test_a_failure_of_the_report_is_one_warning(short_run, pretrain, monkeypatch, capsys):
    def fail(runs, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(page, "render", fail)
    result = pretrain(**short_run())
    assert result.exported
    warnings = [line for line in capsys.readouterr().out.splitlines() if "warning:" in line]
    assert warnings == [
        "warning: No report of this run: OSError: [Errno 28] No space left on device"
    ]


def test_a_failed_run_that_has_trained_gets_a_report(short_run, pretrain):
    with pytest.raises(RunError):
        pretrain(**short_run(optim_args={"lr": 1e30}, optim="sgd", epochs=20))
    run = read_run(short_run()["out"])
    assert run.record.status == "failed"
    assert "not finite" in str(run.record.error)
    assert "not finite" in (run.folder / "report.html").read_text()


@pytest.mark.slow
def test_loggers_get_the_report(short_run, pretrain, monkeypatch):
    got = []
    target = "lightly_core.engine.loggers.jsonl.JsonlLogger.log_artifact"
    monkeypatch.setattr(target, lambda self, path: got.append(path.name), raising=False)
    pretrain(**short_run())
    assert got[-1] == "report.html"


@pytest.mark.slow
def test_a_result_writes_its_report_again(short_run, pretrain):
    result = pretrain(**short_run(callbacks={"report": None}))
    assert result.report().path == result.folder / "report.html"
    assert lightly_core.report(result.folder).path.is_file()
