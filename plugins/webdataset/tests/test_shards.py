import io
import logging
import pickle
import shutil
import tarfile
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from pictures import picture

from lightly_core.data.check import data_problems
from lightly_core.data.loading import load_or_reason
from lightly_core.data.sources import open_source
from lightly_core.errors import DataError
from lightly_webdataset import shards
from lightly_webdataset.tar_index import scan


def names(source):
    return [source.name(index) for index in range(len(source))]


def classes(source):
    labels = source.labels()
    return [labels.classes[target] if target >= 0 else None for target in labels.targets]


def test_braces_patterns_folders_and_lists_name_the_same_shards(tmp_path, write):
    write(tmp_path / "a", [{"png": picture(index)} for index in range(10)])
    folder = f"{tmp_path}/a"
    expected = [f"{index // 4:03}.tar/{index:02}.png" for index in range(10)]
    for data in (
        f"wds:{folder}/{{000..002}}.tar",
        f"wds:{folder}/{{000,001}}.tar::{folder}/002.tar",
        f"wds:{folder}",
        f"{folder}/*.tar",
        [f"{folder}/00{number}.tar" for number in range(3)],
    ):
        assert data_problems(data) == []
        assert names(open_source(data)) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("wds:{folder}/{{000..009}}.tar", "003.tar' does not exist"),
        ("wds:{folder}/x*.tar", "no file matches"),
        ("wds:{folder}/empty", "has no .tar file"),
        ("wds:{folder}/a.tar.gz", "is compressed"),
        ("wds:pipe: ", "no command"),
        ("wds:{folder}/000.tar?label=json", "'json:FIELD'"),
        ("wds:{folder}/000.tar?bufer=3", "did you mean 'buffer'"),
    ],
)
def test_wrong_texts_are_refused_before_anything_is_read(tmp_path, write, text, words):
    write(tmp_path / "a", [{"png": picture(index)} for index in range(9)])
    (tmp_path / "a/empty").mkdir()
    problems = data_problems(text.format(folder=tmp_path / "a"))
    assert any(words in problem for problem in problems), problems


def test_the_files_of_a_sample_are_chosen_by_extension(tmp_path, write):
    sample = {"seg.png": picture(1), "jpg": picture(2, "JPEG"), "thumb.webp": picture(3, "WEBP")}
    write(tmp_path / "a", [sample, {"cls": 3}])
    assert names(open_source(f"wds:{tmp_path}/a")) == ["000.tar/00.jpg"]
    assert names(open_source(f"wds:{tmp_path}/a?image=gif;SEG.PNG")) == ["000.tar/00.seg.png"]
    with pytest.raises(DataError, match="2 samples without a file 'bmp'"):
        open_source(f"wds:{tmp_path}/a?image=bmp")


def test_classes_are_texts_numbers_or_fields_of_json(tmp_path, write):
    png = picture(0)
    write(tmp_path / "n", [{"png": png, "cls": n} for n in (10, 9, 10)] + [{"png": png}])
    source = open_source(f"wds:{tmp_path}/n")
    assert source.labels().classes == ("9", "10")  # numbers sort as numbers
    assert classes(source) == ["10", "9", "10", None]
    write(tmp_path / "j", [{"png": png, "json": {"kind": kind}} for kind in ("b", "a", None)])
    source = open_source(f"wds:{tmp_path}/j?label=json:kind")
    assert classes(source) == ["b", "a", None]
    assert open_source(f"wds:{tmp_path}/j").labels() is None
    assert "'cls'" in open_source(f"wds:{tmp_path}/j").why_no_labels()


def test_what_is_no_sample_is_left_out(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path, "folder", recursive=False)
        for name in ("__meta__.json", "README", "x/a.b/1.png", "x/a.b/1.cls", "2.png"):
            member = tarfile.TarInfo(name)
            member.size = len(picture(1))
            tar.addfile(member, io.BytesIO(picture(1)))
        link = tarfile.TarInfo("3.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert names(open_source(f"{tmp_path}/a.tar")) == ["a.tar/x/a.b/1.png", "a.tar/2.png"]


def test_a_shard_that_ends_too_early_loses_its_end_only(tmp_path, write, caplog):
    (path,) = write(tmp_path / "a", [{"png": picture(index)} for index in range(4)])
    path.write_bytes(path.read_bytes()[:-9000])
    with caplog.at_level(logging.WARNING):
        source = open_source(f"wds:{path}")
    assert "could not be read to their end" in caplog.text
    found = [load_or_reason(source, index) for index in range(len(source))]
    read = [not isinstance(image, str) for image in found]
    assert read[:2] == [True, True]
    assert read.count(False) <= 1
    assert all(image == "truncated" for image in found if isinstance(image, str))


def test_a_file_that_is_no_tar_is_refused(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"nothing" * 1000)
    with pytest.raises(DataError, match=r"no images in 1 shards .* damaged: .*ReadError"):
        open_source(f"{tmp_path}/a.tar")


def test_an_index_is_read_once_and_again_when_the_shard_changes(tmp_path, write, monkeypatch):
    scanned = []
    monkeypatch.setattr(shards, "scan", lambda *given: scanned.append(1) or scan(*given))
    write(tmp_path / "a", [{"png": picture(index)} for index in range(8)])
    for expected in (2, 2):
        assert len(open_source(f"wds:{tmp_path}/a")) == 8
        assert len(scanned) == expected
    open_source(f"wds:{tmp_path}/a?label=json:x")  # other classes, another index
    assert len(scanned) == 4
    write(tmp_path / "a", [{"png": picture(index)} for index in range(6)])
    assert len(open_source(f"wds:{tmp_path}/a")) == 6
    assert len(scanned) == 6


def test_a_damaged_index_is_made_anew(tmp_path, cache, write):
    write(tmp_path / "a", [{"png": picture(index)} for index in range(4)])
    open_source(f"wds:{tmp_path}/a")
    (index,) = [path for path in (cache / "shard-indexes").iterdir() if path.is_file()]
    index.write_bytes(b"damaged")
    assert len(open_source(f"wds:{tmp_path}/a")) == 4


def test_a_copy_in_another_process_reads_on_its_own(tmp_path, write):
    write(tmp_path / "a", [{"png": picture(index)} for index in range(8)])
    source = open_source(f"wds:{tmp_path}/a")
    source.load(5)
    again = pickle.loads(pickle.dumps(source))
    assert np.array_equal(np.asarray(again.load(5)), np.asarray(source.load(5)))


def test_the_output_of_a_command_is_a_shard(tmp_path, write):
    (path,) = write(tmp_path / "a", [{"png": picture(index), "cls": index} for index in range(4)])
    source = open_source(f"wds:pipe:cat {path}")
    assert source.read(3) == picture(3)
    with pytest.raises(DataError, match="1 of 1 shards cannot be read"):
        open_source(f"wds:pipe:cat {tmp_path}/missing.tar")


class Shards(BaseHTTPRequestHandler):
    """Serves files of a folder, without ranges; the first request of each path may fail."""

    def __init__(self, folder, log, fail, *given):
        self.folder, self.log, self.fail = folder, log, fail
        super().__init__(*given)

    def do_GET(self):
        self.log.append(f"{self.command} {self.path}")
        path = self.folder / self.path.partition("?")[0].lstrip("/")
        if self.path in self.fail or not path.is_file():
            self.send_error(500 if self.path in self.fail else 404)
            self.fail.discard(self.path)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(path.stat().st_size))
        self.send_header("ETag", str(path.stat().st_mtime_ns))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(path.read_bytes())

    do_HEAD = do_GET

    def log_message(self, *given):
        pass


@pytest.fixture
def server(tmp_path):
    """A server of the files below `tmp_path`: its address, its requests, and what shall fail."""
    log, fail = [], set()
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Shards, tmp_path, log, fail))
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}", log, fail
    http.shutdown()
    http.server_close()


@pytest.mark.slow
def test_shards_of_a_server_without_ranges_are_fetched_once(tmp_path, write, server):
    url, log, fail = server
    write(tmp_path / "a", [{"png": picture(index)} for index in range(8)])
    fail.add("/a/001.tar")  # an error that passes
    for _ in range(2):
        source = open_source(f"wds:{url}/a/{{000..001}}.tar")
        assert [source.read(index) for index in range(8)] == [picture(n) for n in range(8)]
        assert names(source)[5] == "001.tar/05.png"
    assert [line for line in log if line.startswith("GET")].count("GET /a/000.tar") == 1


@pytest.mark.slow
def test_a_cache_of_three_shards_fetches_each_shard_once_in_an_epoch(
    tmp_path, cache, write, server
):
    url, log, _ = server
    write(tmp_path / "a", [{"png": picture(index)} for index in range(24)])
    source = open_source(f"wds:{url}/a/{{000..005}}.tar#buffer=4&cache_size=0.00006")
    size = (tmp_path / "a/000.tar").stat().st_size
    assert 3 * size < 0.00006 * 2**30 < 6 * size
    shutil.rmtree(cache / "shards")
    log.clear()
    source.begin_epoch(0, 0)
    order = source.order(0, 0).tolist()
    assert [source.read(index) for index in order] == [picture(index) for index in order]
    assert len([line for line in log if line.startswith("GET")]) == 6


@pytest.mark.slow
def test_the_next_shard_is_fetched_while_one_is_read(tmp_path, cache, write, server):
    url, log, _ = server
    write(tmp_path / "a", [{"png": picture(index)} for index in range(12)])
    source = open_source(f"wds:{url}/a/{{000..002}}.tar#buffer=4")
    shutil.rmtree(cache / "shards")
    log.clear()
    source.begin_epoch(0, 0)
    first, second = (source.order(0, 0)[place] // 4 for place in (0, 4))
    source.read(int(source.order(0, 0)[0]))
    deadline = time.monotonic() + 60
    while f"GET /a/00{second}.tar" not in log:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert f"GET /a/00{first}.tar" in log


@pytest.mark.slow
def test_a_shard_that_has_changed_on_the_server_is_fetched_again(tmp_path, write, server):
    url, _, _ = server
    write(tmp_path / "a", [{"png": picture(1)}])
    assert open_source(f"wds:{url}/a/000.tar").read(0) == picture(1)
    write(tmp_path / "a", [{"png": picture(2)}])
    assert open_source(f"wds:{url}/a/000.tar").read(0) == picture(2)


@pytest.mark.slow
def test_a_shard_that_the_server_does_not_have_is_refused(server):
    url, _, _ = server
    with pytest.raises(DataError, match=r"1 of 1 shards cannot be read: .*000.tar"):
        open_source(f"wds:{url}/a/000.tar#buffer=3")
