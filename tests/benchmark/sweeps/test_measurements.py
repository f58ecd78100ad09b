import pytest

from lightly_core.benchmarking import state
from lightly_core.benchmarking.sweeps.measurements import read_measurements


@pytest.fixture
def measured(tmp_path):
    """Read `a` from lines of a run of 10 steps, 4 of them in an epoch."""
    state.write(tmp_path / "config.json", {"derived": {"steps_per_epoch": 4, "total_steps": 10}})

    def read(text, ended=False):
        (tmp_path / "metrics.jsonl").write_text(text)
        return read_measurements(tmp_path, "a", ended=ended)

    return read


def test_the_last_value_of_each_epoch_counts_and_not_that_before_training(measured):
    text = '{"step": 0, "a": 9}\n{"step": 2, "a": 1}\n{"step": 4, "a": 2}\n{"step": 8, "a": 3}\n'
    found = measured(text)
    assert found.points == ((1, 2.0), (2, 3.0))
    assert found.last_epoch == 3


@pytest.mark.parametrize(
    ("text", "while_it_runs", "afterwards"),
    [
        ('{"step": 3, "a": 1}\n', (), ((1, 1.0),)),
        ('{"step": 3, "a": 1}\n{"step": 5, "b": 1}\n', ((1, 1.0),), ((1, 1.0),)),
        ('{"step": 4, "b": 1}\n', (), ()),
        ('{"step": 4, "a": 1}\n{"step": 8, "a"', ((1, 1.0),), ((1, 1.0),)),
    ],
)
def test_an_epoch_counts_once_its_value_cannot_change(measured, text, while_it_runs, afterwards):
    assert measured(text).points == while_it_runs
    assert measured(text, ended=True).points == afterwards


def test_a_value_that_is_not_finite_is_nan(measured):
    ((epoch, value),) = measured('{"step": 4, "a": null}\n').points
    assert epoch == 1
    assert value != value


@pytest.mark.parametrize(
    ("metric", "status", "images"),
    [
        ("knn/top1", {"knn_images": 98}, 98),
        ("linear/top5", {"knn_images": 98}, 98),
        ("rank/rankme", {"knn_images": 98}, None),
        ("knn/top1", {}, None),
        ("knn/top1", {"knn_images": "many"}, None),
        ("knn/top1", None, None),
    ],
)
def test_the_images_of_an_accuracy_are_those_of_the_run(tmp_path, metric, status, images):
    state.write(tmp_path / "config.json", {"derived": {"steps_per_epoch": 4, "total_steps": 10}})
    (tmp_path / "metrics.jsonl").write_text("")
    if status is not None:
        state.write(tmp_path / "status.json", {"state": "finished", "started": "", **status})
    assert read_measurements(tmp_path, metric, ended=True).num_images == images


def test_a_run_that_has_not_begun_has_measured_nothing(tmp_path):
    assert read_measurements(tmp_path / "run", "a", ended=True).points == ()
