"""What is added to a writer is read back, number by number."""

import os

import numpy as np
import pytest

from lightly_core.embedding import writers

ENDINGS = {"csv": "csv", "torch": "pt", "npz": "npz", "parquet": "parquet"}
#: The smallest and the largest numbers of float32, and some whose decimal form is long.
NUMBERS = [0.0, -0.0, 1e-45, 3.4028235e38, -1 / 3, 16777217.0, 0.1, np.inf]


@pytest.fixture(params=ENDINGS)
def file_format(request):
    return request.param


def test_numbers_come_back_exactly_from_several_calls(file_format, read, tmp_path, monkeypatch):
    monkeypatch.setattr(writers, "_ROW_GROUP_BYTES", 100)
    monkeypatch.setattr(writers, "_NAMES_PER_WRITE", 2)
    features = np.random.default_rng(0).normal(size=(7, 8)).astype(np.float32)
    features[3] = NUMBERS
    names = [f"{'long/' * k}{k}.png" for k in range(7)]
    path = tmp_path / f"x.{ENDINGS[file_format]}"
    with writers.open_writer(file_format, path, (8,)) as writer:
        for start, end in ((0, 3), (3, 4), (4, 7)):
            writer.add(names[start:end], features[start:end])
    found, values = read(path)
    assert found == names
    assert values.tobytes() == features.tobytes()
    assert os.listdir(tmp_path) == [path.name]


def test_names_with_signs_of_a_table_come_back(file_format, read, tmp_path):
    names = ["a,b", 'a"b', "a\rb", "a\nb", "a;b", " a "]
    path = tmp_path / f"x.{ENDINGS[file_format]}"
    with writers.open_writer(file_format, path, (1,)) as writer:
        writer.add(names, np.ones((len(names), 1), np.float32))
    assert read(path)[0] == names


def test_parquet_writes_row_groups_of_limited_size(tmp_path, monkeypatch):
    from pyarrow import parquet

    monkeypatch.setattr(writers, "_ROW_GROUP_BYTES", 100)
    with writers.open_writer("parquet", tmp_path / "x.parquet", (8,)) as writer:
        for number in range(10):
            writer.add([str(number)], np.full((1, 8), number, np.float32))
    information = parquet.ParquetFile(tmp_path / "x.parquet").metadata
    rows = [information.row_group(k).num_rows for k in range(information.num_row_groups)]
    assert rows == [4, 4, 2]  # 32 bytes a row


def test_a_failed_writer_releases_its_files(file_format, tmp_path):
    path = tmp_path / f"x.{ENDINGS[file_format]}"

    def fail():
        with writers.open_writer(file_format, path, (8,)) as writer:
            writer.add(["a"], np.ones((1, 8), np.float32))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert set(os.listdir(tmp_path)) <= {path.name}


def test_the_csv_file_of_lightlytrain_has_its_columns(tmp_path):
    path = tmp_path / "x.csv"
    with writers.open_writer("lightly_csv", path, (2,)) as writer:
        writer.add(["a.png", "b,c.png"], np.asarray([[1, 2], [0.5, -1]], np.float32))
    lines = ["filenames,embedding_0,embedding_1,labels", "a.png,1,2,0", '"b,c.png",0.5,-1,0']
    assert path.read_text().splitlines() == lines
