"""`lightly runs`: its words, its JSON and its mistakes."""

import json
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/runs.md"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "runs/a").mkdir(parents=True)
    (tmp_path / "runs/a/train.log").write_text("x")
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_json_has_the_keys_of_the_page(run, folder):
    code, out, _ = run("runs", str(folder), "--json")
    (entry,) = json.loads(out)
    keys = re.findall(r"^\| `(\w+)` \|", PAGE.read_text().partition("## JSON")[2], re.M)
    assert code == 0
    assert list(entry) == keys
    assert entry["reason"] == "there is no config.json"


def test_an_empty_folder_is_a_note_and_no_error(run, folder):
    assert run("runs", str(folder / "empty")) == (0, "", f"no run below '{folder / 'empty'}'\n")
    code, _, err = run("runs", str(folder), "state=failed")
    assert (code, err) == (0, f"no run of this state or method below '{folder}'\n")
    assert run("runs", str(folder / "empty"), "--json") == (0, "[]\n", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "there is no folder 'nothing'"),
        (["{}/runs/a/train.log"], "is a file; expected a folder"),
        (["{}", "{}/runs"], "expected one folder, got 2"),
        (["{}", "sort=knm"], "did you mean 'knn'"),
        (["{}", "sorted=knn"], "did you mean 'sort'"),
        (["{}", "--sort=knn"], "write sort=knn"),
        (["{}", "--sort", "knn"], "write sort=knn"),
        (["{}", "--jsn"], "did you mean '--json'"),
        (["{}", "state=died"], "expected 'running', 'finished'"),
    ],
)
def test_mistakes_are_explained(run, folder, words, message):
    code, out, err = run("runs", *(word.format(folder) for word in words))
    assert (code, out) == (2, "")
    assert message in err


def test_the_current_folder_is_the_default(run, folder, monkeypatch):
    monkeypatch.chdir(folder / "runs")
    assert [line.split()[0] for line in run("runs")[1].splitlines()] == ["NAME", "a"]
