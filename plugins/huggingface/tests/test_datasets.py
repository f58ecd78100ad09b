import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import DatasetDict
from pictures import picture

from lightly_core.data.check import data_problems
from lightly_core.data.loading import load_or_reason
from lightly_core.data.sources import open_source
from lightly_core.errors import DataError


def require_nine(source, title):
    """The rows of the fixture `dataset`."""
    assert [source.name(row) for row in range(len(source))] == [f"{title}/{n}" for n in range(9)]
    assert [source.read(row) for row in (0, 8)] == [picture(0), picture(8)]
    assert load_or_reason(source, 5) == "the row has no image"
    labels = source.labels()
    assert (labels.classes, labels.targets.tolist()) == (("a", "b", "c"), [0, 1, 2] * 3)


@pytest.mark.slow
def test_saved_data_sets_and_parquet_files_have_the_same_rows(tmp_path, dataset):
    dataset.save_to_disk(f"{tmp_path}/saved")
    DatasetDict(train=dataset, test=dataset.select([1])).save_to_disk(f"{tmp_path}/parts")
    (tmp_path / "folder").mkdir()
    dataset.to_parquet(tmp_path / "folder/train-00000-of-00001.parquet")
    dataset.select([2]).to_parquet(tmp_path / "folder/test-00000-of-00001.parquet")
    for text, title in (
        ("hf:{}/saved", "saved/train"),
        ("hf:{}/parts", "parts/train"),
        ("hf:{}/folder", "folder/train"),
        ("hf:{}/folder/train-*.parquet", "train-*.parquet/train"),
        ("{}/folder/train-00000-of-00001.parquet", "train-00000-of-00001.parquet/train"),
    ):
        data = text.format(tmp_path)
        assert data_problems(data) == []
        require_nine(open_source(data), title)
    assert len(open_source(f"hf:{tmp_path}/parts?split=test")) == 1
    assert len(open_source(f"hf:{tmp_path}/folder?split=test")) == 1
    assert len(open_source(f"hf:{tmp_path}/folder?split=train[:4]")) == 4


def test_several_parquet_files_follow_each_other(tmp_path, dataset):
    for number in range(3):
        dataset.select(range(3 * number, 3 * number + 3)).to_parquet(tmp_path / f"{number}.parquet")
    data = [f"hf:{tmp_path}/{number}.parquet" for number in range(3)]
    assert data_problems(data) == []
    source = open_source(data)
    assert [source.read(row) for row in (0, 4, 8)] == [picture(0), picture(4), picture(8)]


def test_files_in_a_plain_column_are_images_too(tmp_path):
    rows = pa.table({"img": [picture(0), picture(1)], "label": ["dog", "cat"], "text": ["a", "b"]})
    pq.write_table(rows, tmp_path / "a.parquet")
    source = open_source(f"hf:{tmp_path}/a.parquet")
    assert [source.read(row) for row in range(2)] == [picture(0), picture(1)]
    labels = source.labels()
    assert (labels.classes, labels.targets.tolist()) == (("cat", "dog"), [1, 0])
    assert open_source(f"hf:{tmp_path}/a.parquet?label=text").labels().classes == ("a", "b")


def test_pixels_are_those_that_the_library_decodes(tmp_path, dataset):
    dataset.to_parquet(tmp_path / "a.parquet")
    source = open_source(f"hf:{tmp_path}/a.parquet")
    for row in (0, 4):
        assert np.array_equal(np.asarray(source.load(row)), np.asarray(dataset[row]["picture"]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hf:{}/missing.parquet", "does not exist"),
        ("hf:{}/*.parquet", "no parquet file matches"),
        ("hf:not a name", "neither a folder, nor a .parquet file"),
        ("hf:beans?spilt=train", "did you mean 'split'"),
        ("hf:beans?streaming=perhaps", "expected bool"),
    ],
)
def test_wrong_texts_are_refused_before_anything_is_read(tmp_path, text, words):
    (problem,) = data_problems(text.format(tmp_path))
    assert words in problem


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("image=pictures", "no column 'pictures', did you mean 'picture'"),
        ("label=kinds", "no column 'kinds', did you mean 'kind'"),
        ("split=val", "val"),
    ],
)
def test_what_the_data_set_does_not_have_is_named(tmp_path, dataset, options, words):
    dataset.to_parquet(tmp_path / "a.parquet")
    DatasetDict(train=dataset).save_to_disk(f"{tmp_path}/parts")
    for place in ("a.parquet", "parts"):
        with pytest.raises(DataError, match=words):
            open_source(f"hf:{tmp_path}/{place}?{options}")


def test_rows_without_images_are_refused(tmp_path, dataset):
    dataset.remove_columns("picture").to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="no column holds images"):
        open_source(f"hf:{tmp_path}/a.parquet")
