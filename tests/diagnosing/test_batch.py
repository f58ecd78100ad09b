"""The largest batch is found by trying, with a made-up memory instead of a GPU's."""

import pytest
import torch
from short_run import run_settings, write_images

from lightly_core.diagnosing.batch import BatchTrial, Largest, largest_batch
from lightly_core.engine import entry
from lightly_core.engine.build import build_run
from lightly_core.engine.images import open_images, resolve_run


@pytest.mark.parametrize("capacity", [1, 2, 7, 100, 128, 129, 1000, 4095, 4096])
@pytest.mark.parametrize("first", [1, 100, 4096])
def test_the_largest_batch_is_found_to_a_sixteenth(capacity, first):
    tried = []

    def fits(size):
        tried.append(size)
        return size <= capacity

    found = largest_batch(fits, first, 4096)
    if capacity == 4096:
        assert found == Largest(4096, None)
    else:
        assert found.fits <= capacity < found.fails
        assert found.fails - found.fits <= max(1, found.fits / 16)
    assert len(tried) == len(set(tried)) <= 20


def test_a_batch_of_one_that_does_not_fit_ends_the_search():
    assert largest_batch(lambda size: False, 64, 4096) == Largest(None, 1)


def test_no_batch_is_larger_than_allowed():
    tried = []
    found = largest_batch(lambda size: tried.append(size) is None, 64, 100)
    assert (found, tried) == (Largest(100, None), [64, 100])


@pytest.fixture
def trial(tmp_path):
    """Trials of BYOL, which has a teacher, on the CPU."""
    args = {"hidden_dim": 8, "output_dim": 4}
    data = write_images(tmp_path / "images")
    settings, plugins = entry.load(
        arguments=run_settings(out=tmp_path / "out", data=data, method="byol", method_args=args)
    )
    source = open_images(settings)
    resolved = resolve_run(settings, source, None, lambda: 0)
    built = build_run(resolved, source, plugins.catalog)
    return BatchTrial(built, resolved, source, torch.device("cpu"))


@pytest.mark.slow
def test_a_batch_larger_than_the_images_is_trained_with(trial):
    before = [parameter.clone() for parameter in trial._module.method.parameters()]
    assert trial.fits(40)
    after = trial._module.method.parameters()
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    assert trial.images_per_second(8) > 0


@pytest.mark.slow
def test_a_batch_that_runs_out_of_memory_does_not_fit(trial, monkeypatch):
    method = trial._module.method
    step = type(method).training_step

    def limited(self, batch, number):
        if len(batch.views[0]) > 21:
            raise torch.OutOfMemoryError("made up")
        return step(self, batch, number)

    monkeypatch.setattr(type(method), "training_step", limited)
    assert largest_batch(trial.fits, 8, 64) == Largest(21, 22)


class Clocked(BatchTrial):
    """Steps that take a second and a time for each image, by a made-up clock."""

    def __init__(self, monkeypatch, per_image):
        self.now, self.per_image, self.sizes = 0.0, per_image, []
        monkeypatch.setattr("lightly_core.diagnosing.batch.time.perf_counter", lambda: self.now)

    def _train(self, batch_size, steps):
        self.sizes += steps * [batch_size]
        self.now += steps * (1 + batch_size * self.per_image)

    def _wait(self):
        pass

    def _free(self):
        pass


@pytest.mark.parametrize(("per_image", "size"), [(0.0001, 128), (10.0, 16)])
def test_the_speed_is_that_of_the_whole_batch_if_the_time_allows_it(monkeypatch, per_image, size):
    trial = Clocked(monkeypatch, per_image)
    rate = trial.images_per_second_within(128, 60.0)
    assert rate == pytest.approx(size / (1 + size * per_image))
    assert trial.sizes[-1] == size
    # What the small batch says about a step is too much for a large one, never too little.
    steps = trial.sizes[3:]
    assert len(steps) == 1 or sum(1 + s * per_image for s in steps) <= 60.0


def test_a_batch_of_the_run_is_never_exceeded(monkeypatch):
    trial = Clocked(monkeypatch, 0.0)
    trial.images_per_second_within(5, 1e9)
    assert set(trial.sizes) == {5}
