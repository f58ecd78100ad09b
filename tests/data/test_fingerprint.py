import os
import shutil

import numpy as np
import pytest

from lightly_core.config.options.settings import PythonObject
from lightly_core.data.fingerprint import changes, contents, fingerprint
from lightly_core.data.sources import open_source
from lightly_core.errors import DataError


@pytest.fixture
def folder(tmp_path, write_images):
    write_images(tmp_path / "a", ["0.png", "1.png", "in/2.png"])
    for path in (tmp_path / "a").rglob("*.png"):
        os.utime(path, (1e9, 1e9))
    return tmp_path / "a"


def of(data):
    return fingerprint(open_source(str(data)))


def test_a_folder_may_move(folder, tmp_path):
    before = of(folder)
    shutil.copytree(folder, tmp_path / "b")  # keeps times
    assert of(tmp_path / "b") == before == of(folder)
    assert before.startswith("3 files, ")


def rename(folder):
    (folder / "0.png").rename(folder / "00.png")


def add(folder):
    shutil.copy2(folder / "0.png", folder / "3.png")


def touch(folder):
    os.utime(folder / "0.png", (2e9, 2e9))


def grow(folder):
    with (folder / "0.png").open("ab") as file:
        file.write(b"0")
    os.utime(folder / "0.png", (1e9, 1e9))


def remove_after_listing(folder):
    (folder / "0.png").unlink()
    (folder / "0.png").symlink_to(folder / "nothing.png")


@pytest.mark.parametrize("change", [rename, add, touch, grow, remove_after_listing])
def test_every_change_of_a_file_is_seen(folder, change):
    before = of(folder)
    change(folder)
    assert of(folder) != before


class Pictures:
    def __init__(self, size=40, bad=(), seed=0):
        self.pixels = np.random.default_rng(seed).integers(256, size=(size, 4, 4, 3), dtype="uint8")
        self.bad = bad

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, index):
        if index in self.bad:
            raise RuntimeError("no image")
        return self.pixels[index]


def of_object(dataset):
    return fingerprint(open_source(PythonObject(dataset)))


def test_datasets_in_python_are_told_apart_by_their_pixels():
    known = of_object(Pictures())
    assert of_object(Pictures()) == known
    others = [Pictures(seed=1), Pictures(size=41), Pictures(bad={0})]
    assert all(of_object(other) != known for other in others)
    assert of_object(Pictures(size=1)).startswith("1 images, ")


def test_a_dataset_that_is_random_is_refused():
    class Random(Pictures):
        def __getitem__(self, index):
            return np.random.rand(4, 4, 3).astype("float32")

    with pytest.raises(DataError, match="Random/0 changes each time"):
        of_object(Random())


def test_the_content_of_images_is_the_same_wherever_they_lie(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "b", copy_function=shutil.copyfile)  # with new times
    before = contents(open_source(str(folder)))
    assert contents(open_source(str(tmp_path / "b"))) == before
    assert set(before) == {"names", "sizes", "content"}


def test_the_end_of_a_long_file_counts(tmp_path, write_images):
    write_images(tmp_path, ["0.png"])
    path = tmp_path / "0.png"
    path.write_bytes(path.read_bytes() + bytes(3_000_000))
    before = contents(open_source(str(tmp_path)))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert changes(before, open_source(str(tmp_path))) == ["the content of images has changed"]


class Noise(Pictures):
    def __getitem__(self, index):
        return np.random.rand(4, 4, 3).astype("float32")


def test_datasets_are_compared_by_pixels_unless_these_are_random():
    def source(dataset):
        return open_source(PythonObject(dataset))

    before = contents(source(Pictures()))
    assert changes(before, source(Pictures())) == []
    assert changes(before, source(Pictures(seed=1))) == ["the content of images has changed"]
    assert changes(contents(source(Noise())), source(Noise())) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_never_ends_is_not_opened(tmp_path, write_images):
    write_images(tmp_path, ["a.png"])
    (tmp_path / "list.txt").write_text("a.png\nb.png\n")
    os.mkfifo(tmp_path / "b.png")
    source = open_source(str(tmp_path / "list.txt"))
    assert contents(source) == contents(source)
