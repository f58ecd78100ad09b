import pytest
from pictures import picture

from lightly_core.data.loading import load_or_reason
from lightly_core.data.sources import open_source
from lightly_core.errors import DataError


@pytest.fixture
def data(tmp_path, dataset):
    """Three parquet files of three rows each."""
    for number in range(3):
        part = dataset.select(range(3 * number, 3 * number + 3))
        part.to_parquet(tmp_path / f"{number}.parquet")
    return f"hf:{tmp_path}/*.parquet?streaming=true&buffer=3"


def test_a_stream_has_the_rows_and_classes_of_the_mapped_data_set(tmp_path, data):
    source, mapped = open_source(data), open_source(data.partition("?")[0])
    assert len(source) == len(mapped) == 9
    for row in (0, 4, 8):
        assert source.read(row) == mapped.read(row) == picture(row)
    assert load_or_reason(source, 5) == "empty file"
    names = [
        [labels.classes[target] for target in labels.targets]
        for labels in (source.labels(), mapped.labels())
    ]
    assert names[0] == names[1]
    assert len({source.name(row) for row in range(9)}) == 9


def test_parts_are_read_once_if_the_cache_holds_them(tmp_path, data, monkeypatch):
    from lightly_huggingface.streaming import StreamedPart

    fetched = []
    fetch = StreamedPart.fetch
    monkeypatch.setattr(
        StreamedPart, "fetch", lambda self, path: fetched.append(1) or fetch(self, path)
    )
    for _ in range(2):
        source = open_source(data)
        assert [source.read(row) for row in (8, 0, 4)] == [picture(8), picture(0), picture(4)]
        assert len(fetched) == 3


def test_a_changed_file_is_read_again(tmp_path, data, dataset):
    assert open_source(data).read(0) == picture(0)
    dataset.select(range(8, -1, -1)).to_parquet(tmp_path / "0.parquet")
    assert open_source(data).read(0) == picture(8)


def test_a_window_has_the_rows_of_few_parts(data):
    order = open_source(data).order(seed=0, epoch=0)
    assert sorted(order) == list(range(9))
    assert all(len({row // 3 for row in order[start : start + 3]}) == 1 for start in (0, 3, 6))


def test_a_saved_data_set_is_no_stream(tmp_path, dataset):
    dataset.save_to_disk(f"{tmp_path}/saved")
    with pytest.raises(DataError, match="remove the option streaming"):
        open_source(f"hf:{tmp_path}/saved?streaming=true")
