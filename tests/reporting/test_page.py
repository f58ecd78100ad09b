"""The page of a report: what is in it, and that no text from files becomes markup."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from lightly_core.errors import ConfigError
from lightly_core.reporting.command import report_runs
from lightly_core.reporting.page import as_script, render
from lightly_core.reporting.reading import read_metrics, read_run

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u2028\x1b[31m\udce9"


class Elements(HTMLParser):
    """Collects the elements of a page, and the text of its scripts."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.scripts, self._inside = [], [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag == "script"
        if self._inside:
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._inside = False

    def handle_data(self, data):
        if self._inside:
            self.scripts[-1] += data


def test_hostile_texts_stay_texts(run_folder):
    lines = [{"step": step, HOSTILE: 1.0, "train_loss": 2.0} for step in (1, 2)]
    folder = run_folder(
        "<b>run</b>",
        lines=lines,
        config={"method": HOSTILE, "model": HOSTILE, HOSTILE: {HOSTILE: HOSTILE}},
        record={"error": HOSTILE, "snippet": HOSTILE, "given": [HOSTILE], "auto": [HOSTILE]},
    )
    (folder / "skipped_images.csv").write_text(f'index,name,reason\n3,"{HOSTILE[:60]}",bad\n')
    page = Elements(render([read_run(folder)]))
    assert [tag for tag, _ in page.tags].count("script") == 3  # data, library, ours
    assert not {"img", "b", "iframe"} & {tag for tag, _ in page.tags}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    charts = json.loads(page.scripts[0])["charts"]
    assert HOSTILE in [curve["name"] for chart in charts for curve in chart["curves"]]


def test_policy_allows_the_scripts_of_the_page_and_no_request(run_folder):
    page = Elements(render([read_run(run_folder())]))
    (policy,) = [a["content"] for tag, a in page.tags if "http-equiv" in a]
    assert policy.startswith("default-src 'none'; ")
    assert "connect-src" not in policy
    for script in page.scripts[1:]:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    sources = [
        a for tag, a in page.tags if tag in ("link", "img", "script") and {"src", "href"} & {*a}
    ]
    assert not [a for a in sources if not str(a.get("src", "")).startswith("data:")]


def test_script_data_is_read_back_as_it_was():
    data = {"text": HOSTILE, "numbers": [1, 2.5, None]}
    text = str(as_script(data))
    assert json.loads(text) == data
    assert not re.search("[<>&\u2028]", text)


def test_damaged_lines_of_metrics_are_ignored(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text(
        '{"step": 5, "a": 1}\n{"step": 1, "a": null}\n[]\n{"a": 3}\n{"step": 9, "b": "x"}\n'
        '{"step": 5, "a": 2}\n{"step": 7, "a":'
    )
    assert read_metrics(file) == {"a": [(1, None), (5, 2.0)]}


def test_runs_of_unlike_kinds_are_shown_side_by_side(run_folder, tmp_path):
    full = run_folder(
        "full",
        lines=[{"step": 1, "train_loss": 3.0}, {"step": 2, "knn/top1": 0.5}],
        config={"method": "simclr", "model": "m", "optim_args": {"lr": 0.1}, "out": "x"},
        record={"status": "finished", "knn_before": 0.1, "knn_after": 0.5, "num_query": 500},
    )
    early = run_folder("early", config={"method": "dino", "out": "y"})  # failed before a metric
    old = run_folder("old", lines=[{"step": 0, "knn/top1": 0.2}, {"step": 9, "knn/top1": 0.1}])
    (old / "config.json").unlink()
    path = report_runs([full, early, old], tmp_path / "side.html").path
    page = path.read_text()
    for text in ("learned", "not measured: no labels", "got worse", "optim_args.lr"):
        assert text in page
    assert ">out<" not in page  # places are no difference
    data = json.loads(Elements(page).scripts[0])
    (accuracy,) = [chart for chart in data["charts"] if chart["key"] == "metric-knn/top1"]
    assert [curve["run"] for curve in accuracy["curves"]] == [0, 2]


def test_wrong_folders_are_all_named_and_nothing_is_written(tmp_path, run_folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file.txt").touch()
    (tmp_path / "file").touch()
    folders = [run_folder(), *(tmp_path / name for name in ("missing", "empty", "other", "file"))]
    with pytest.raises(ConfigError) as error:
        report_runs(folders, tmp_path / "out.html")
    for text in ("no folder", "is empty", "other files", "is a file"):
        assert text in str(error.value)
    assert not (tmp_path / "out.html").exists()


def test_no_file_but_a_report_is_replaced(tmp_path, run_folder):
    folder = run_folder()
    assert report_runs([folder]).path == folder / "report.html"
    assert report_runs([folder], folder).path == folder / "report.html"  # its own report
    own = tmp_path / "mine.html"
    own.write_text("<p>mine</p>")
    for out, text in ((own, "is not a report"), (tmp_path / "a.txt", "ends in .html")):
        with pytest.raises(ConfigError, match=text):
            report_runs([folder], out)
    assert own.read_text() == "<p>mine</p>"


def test_a_notebook_gets_the_page_in_a_frame_of_its_own(run_folder):
    report = report_runs([run_folder()])
    ((tag, attrs),) = Elements(report._repr_html_()).tags
    assert (tag, attrs["sandbox"]) == ("iframe", "allow-scripts")
    assert attrs["srcdoc"] == report.path.read_text()
