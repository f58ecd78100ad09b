"""Results and lists show themselves in notebooks, and stay what they were elsewhere."""

import json
import pickle
from html.parser import HTMLParser
from pathlib import Path

import pytest

import lightly_core
from lightly_core.notebook import MAX_ROWS, Table

EVIL = "<script>alert('&')</script>\udce9"


class Reader(HTMLParser):
    """Collects tags and the texts of cells; fails on tags that are not closed in order."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.rows = [], set(), []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def read(item):
    page = item._repr_html_()
    page.encode()  # a notebook is UTF-8
    reader = Reader(page)
    assert reader.tags <= {"table", "thead", "tbody", "tr", "th", "td", "strong", "pre", "div"}
    return reader.rows


class Pairs(Table[tuple]):
    header = ("left", "right", "never")

    def cells(self, item):
        return (*item, None)


def test_a_table_is_the_list_that_it_was():
    pairs = Pairs([("b", 1), ("a", 2)])
    assert pairs == [("b", 1), ("a", 2)]
    assert (sorted(pairs), pairs[:1], [*pairs]) == ([("a", 2), ("b", 1)], [("b", 1)], list(pairs))
    assert (repr(pairs), json.dumps(pairs)) == ("[('b', 1), ('a', 2)]", '[["b", 1], ["a", 2]]')
    assert pickle.loads(pickle.dumps(lightly_core.list_methods())) == lightly_core.list_methods()


def test_a_table_shows_its_first_rows_without_empty_columns():
    assert read(Pairs([("b", 1)])) == [["left", "right"], ["b", "1"]]
    assert read(Pairs([])) == [["left", "right", "never"], ["none"]]
    many = Pairs([(number, EVIL) for number in range(MAX_ROWS + 1234)])
    assert len(read(many)) == MAX_ROWS + 1
    assert "and 1,234 more" in many._repr_html_()


def test_texts_are_escaped():
    assert read(Pairs([(EVIL, "")]))[1] == [EVIL.replace("\udce9", "\\udce9")]


@pytest.mark.parametrize(
    ("items", "header"),
    [
        (lightly_core.list_methods, ["name", "plugin", "summary"]),
        (lightly_core.list_formats, ["name", "plugin", "summary"]),
        (lambda: lightly_core.list_models("resnet18"), ["library", "model"]),
        (lightly_core.list_plugins, ["plugin", "distribution", "state", "provides"]),
    ],
)
def test_lists_of_what_is_installed(items, header):
    found = items()
    rows = read(found)
    assert rows[0] == header
    assert len(rows) == min(len(found), MAX_ROWS) + 1
    assert all(all(row[:2]) for row in rows)


def test_a_list_of_runs(tmp_path):
    run = tmp_path / EVIL.replace("/", "").replace("\udce9", "")
    run.mkdir()
    (run / "train.log").write_text("x")
    rows = read(lightly_core.list_runs(tmp_path))
    assert rows == [["name", "state", "size", "note"], [run.name, "unknown", "1 byte", rows[1][3]]]
    assert rows[1][3] == "there is no config.json"


def test_results_of_runs_evaluations_and_embeddings():
    result = lightly_core.RunResult(
        Path(EVIL),
        knn_before=0.321,
        knn_after=0.643,
        num_query=28,
        collapse=EVIL,
        snippet=f"load('{EVIL}')",
    )
    rows = dict(read(result))
    assert rows["kNN top-1"] == (
        "32.1 % before, 64.3 % after (+32.2 points, standard error 12.3; 28 images classified)"
    )
    assert list(rows) == ["kNN top-1", "warning", "folder"]
    assert "load(&#x27;&lt;script&gt;" in result._repr_html_()
    embedded = lightly_core.EmbedResult(Path("f.npz"), 1234, 0, 512)
    assert dict(read(embedded)) == {"file": "f.npz", "images": "1,234", "dimensions": "512"}
    exported = lightly_core.ExportResult(Path("f"), (), "onnx", "model", 1e-6, True, "load()")
    assert dict(read(exported))["largest difference"] == "1.0e-06"
    data = {"num_val": 20, "validation": EVIL, "num_classes": 2, "num_train": 80}
    knn = {"protocol": "knn", "settings": {"k": 20}, "top1": 0.5, "top5": 1.0, "seconds": 0.25}
    evaluated = lightly_core.EvaluationResult(({**knn, "notes": [EVIL], "data": data},))
    header, row = read(evaluated)
    assert dict(zip(header, row, strict=True)) == {
        "protocol": "knn k=20", "top-1": "50.00 ± 10.66 %", "top-5": "100.00 ± 4.44 %",
        "seconds": "0.2"
    }  # fmt: skip
    assert "20 images classified (&lt;script&gt;" in evaluated._repr_html_()
    assert lightly_core.EvaluationResult(())._repr_html_()
