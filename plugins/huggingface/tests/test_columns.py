"""Classes from the values of a column, and the options of a stream, by hand."""

import numpy as np
import pytest

from lightly_core.data.sources import open_source
from lightly_huggingface import library
from lightly_huggingface.columns import Columns, encoded, labels_of


def column(*values):
    return np.array(values, dtype=object)


@pytest.mark.parametrize(
    ("given", "classes", "names", "targets"),
    [
        (column(1, None, 0, 2), ("a", "b", "c"), ("a", "b", "c"), [1, -1, 0, 2]),
        (column("dog", None, "cat", "dog"), (), ("cat", "dog"), [1, -1, 0, 1]),
        (column(30, 7, None), (), ("7", "30"), [1, 0, -1]),
    ],
)
def test_rows_without_a_class_have_the_number_minus_one(given, classes, names, targets):
    labels = labels_of(given, classes, "here")
    assert (labels.classes, labels.targets.tolist()) == (names, targets)


@pytest.mark.parametrize(
    ("given", "classes"),
    [
        (column(0, 0), ("only",)),
        (column("a", None, "a"), ()),
        (column(None, None), ()),
        (column(0.5, 1), ()),  # a measured number, no class
        (np.array([[0, 1], [1, 0]]), ()),
    ],
)
def test_a_column_without_two_classes_has_no_labels(given, classes):
    assert labels_of(given, classes, "here") is None


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        (None, "no column has classes (option label)"),
        ("kind", "the column 'kind' has no two classes (option label)"),
    ],
)
def test_the_reason_why_there_are_no_labels(label, reason):
    assert Columns("image", label, ()).why_no_labels() == reason


def test_a_file_is_in_the_row_or_at_its_path(tmp_path):
    (tmp_path / "a.png").write_bytes(b"file")
    path = str(tmp_path / "a.png")
    assert encoded({"bytes": b"row", "path": path}) == b"row"
    assert encoded({"bytes": None, "path": path}) == b"file"
    assert encoded({"bytes": b"", "path": path}) == b""
    for nothing in (None, {}, {"bytes": None, "path": None}):
        assert encoded(nothing) is None


def test_a_stream_keeps_as_many_gib_as_asked_for(tmp_path, dataset, monkeypatch):
    made, cache = [], library.BoundedCache
    monkeypatch.setattr(library, "BoundedCache", lambda *given: made.append(given) or cache(*given))
    dataset.to_parquet(tmp_path / "a.parquet")
    open_source(f"hf:{tmp_path}/a.parquet?streaming=true&cache_size=1.5")
    assert made == [("shards", 1_610_612_736)]
