"""The data sets of the first hour, as they are written into folders of classes."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve
from PIL import Image

from tools.first_hour.cases import CASES
from tools.first_hour.unpacking import write_digits, write_fashion


def write_idx(path: Path, values: np.ndarray) -> None:
    head = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    path.write_bytes(gzip.compress(head + values.astype(np.uint8).tobytes()))


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


def test_fashion_mnist_becomes_folders_of_classes(tmp_path: Path) -> None:
    images = np.arange(3 * 28 * 28).reshape(3, 28, 28) % 256
    for prefix in ("train", "t10k"):
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte.gz", np.array([4, 9, 4]))
    write_fashion(tmp_path, tmp_path / "made")
    names = ["4/00000.png", "4/00001.png", "9/00000.png"]
    assert files_of(tmp_path / "made/train") == files_of(tmp_path / "made/test") == names
    with Image.open(tmp_path / "made/train/4/00001.png") as image:
        assert np.array_equal(np.asarray(image), images[2])


def test_a_file_in_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"\0\0\x0d\x01rest"))
    with pytest.raises(ValueError, match="no unsigned bytes"):
        write_fashion(tmp_path, tmp_path / "made")


def test_digits_are_split_into_the_images_of_the_case(tmp_path: Path) -> None:
    case = CASES["digits1k"]
    write_digits(tmp_path, tmp_path / "made")
    train, test = (files_of(tmp_path / "made" / split) for split in ("train", "test"))
    assert (len(train), len(test)) == (case.images, case.num_test)
    places = case.data(tmp_path, tmp_path / "folders")
    assert files_of(Path(places["train"])) == train
    assert files_of(Path(places["val"])) == test


def test_what_was_interrupted_is_unpacked_again(tmp_path: Path) -> None:
    def interrupted(source: Path, folder: Path) -> None:
        (folder / "train").mkdir(parents=True)
        raise KeyboardInterrupt

    case = evolve(CASES["digits1k"], unpack=interrupted)
    with pytest.raises(KeyboardInterrupt):
        case.data(tmp_path, tmp_path / "folders")
    assert list((tmp_path / "folders").iterdir()) == []
