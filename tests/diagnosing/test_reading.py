"""The speed of reading is measured for each part, and broken images are named."""

import os
import time

import numpy as np
import pytest
from PIL import Image

from lightly_core.config.options.settings import PythonObject
from lightly_core.config.options.transform import TransformArgs
from lightly_core.data.sources import open_source
from lightly_core.data.views.two_stage import TwoStageTransform
from lightly_core.diagnosing.reading import copies, measure_reading, sampled

VIEWS = TwoStageTransform(TransformArgs(image_size=16, num_views=2))


@pytest.fixture
def folder(tmp_path):
    """Six JPEGs of 80 x 60 pixels."""
    rng = np.random.default_rng(0)
    for index in range(6):
        pixels = rng.integers(0, 255, (60, 80, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.jpg")
    return tmp_path


def measured(source, seconds=60.0):
    return measure_reading(source, VIEWS, sampled(len(source), 100), seconds)


def test_the_parts_are_those_of_the_work(folder):
    size = sum(file.stat().st_size for file in folder.iterdir()) / 6
    started = time.perf_counter()
    speed = measured(open_source(str(folder)))
    passed = time.perf_counter() - started
    assert (speed.images, speed.unreadable) == (6, ())
    assert speed.megapixels == pytest.approx(60 * 80 / 1e6)
    assert speed.kilobytes == pytest.approx(size / 1e3)
    assert min(speed.disk, speed.decode, speed.views) > 0
    assert 6 * speed.seconds < passed


def test_a_slow_part_takes_the_time(folder, monkeypatch):
    source = open_source(str(folder))
    load = type(source).load_shrunk

    def slow(self, index, least_scale):
        time.sleep(0.02)
        return load(self, index, least_scale)

    monkeypatch.setattr(type(source), "load_shrunk", slow)
    speed = measured(source)
    assert speed.decode >= 0.019
    assert speed.decode > 2 * (speed.disk + speed.views)


def test_images_that_cannot_be_read_are_named(folder):
    (folder / "3.jpg").write_bytes((folder / "3.jpg").read_bytes()[:200])
    source = open_source(str(folder))
    (folder / "4.jpg").unlink()
    os.mkfifo(folder / "4.jpg")  # reading it would never end
    speed = measured(source)
    assert speed.images == 4
    assert {name for name, _ in speed.unreadable} == {"3.jpg", "4.jpg"}
    for file in folder.iterdir():
        file.unlink()
        file.write_bytes(b"no image")
    assert measured(open_source(str(folder))) is None


def test_reading_ends_after_some_seconds(folder):
    assert measured(open_source(str(folder)), seconds=0.0).images == 1


def test_a_dataset_of_python_has_no_files(folder):
    images = [(Image.new("RGB", (40, 40), (index, 0, 0)), 0) for index in range(5)]
    speed = measured(open_source(PythonObject(images)))
    assert (speed.images, speed.disk, speed.kilobytes) == (5, 0.0, 0.0)


def test_copies_are_smaller_and_of_the_same_shape(folder):
    source = open_source(str(folder))
    small = copies(source, range(6), 30)
    assert len(small) == 6
    assert small.load(0).shape == (30, 40, 3)
    assert measure_reading(small, VIEWS, range(6), 60.0).megapixels == pytest.approx(1200 / 1e6)
    assert copies(source, range(6), 60) is None


def test_a_sample_of_many_images_takes_no_memory_for_all_of_them():
    chosen = sampled(10**9, 64)
    assert len(set(chosen)) == 64
    assert sampled(10**9, 64) == chosen
    assert sorted(sampled(5, 64)) == [0, 1, 2, 3, 4]
