"""Images behind URLs: in memory, and on a server of this machine."""

import multiprocessing
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import fsspec
import numpy as np
import pytest
from pictures import picture

from lightly_core.data import remote
from lightly_core.data.check import data_problems
from lightly_core.data.fingerprint import changes, contents
from lightly_core.data.loading import load_or_reason
from lightly_core.data.sources import open_source
from lightly_core.errors import DataError
from lightly_core.testing import parametrize_checks, source_checks


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTLY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "_WAITS", (0, 0, 0, 0))
    return tmp_path / "cache"


@pytest.fixture
def memory():
    """A file system in memory, with three images in two folders and what is no image."""
    system = fsspec.filesystem("memory")
    for name in ("data/cat/0.png", "data/dog/1.png", "data/dog/2.jpg"):
        system.pipe(f"/{name}", picture(int(name[-5]), "PNG" if name.endswith("png") else "JPEG"))
    for name in ("data/notes.md", "data/.hidden/3.png", "data/dog/.4.png"):
        system.pipe(f"/{name}", b"nothing")
    yield system
    system.rm("/", recursive=True)


def names(source):
    return [source.name(index) for index in range(len(source))]


@pytest.mark.slow
@parametrize_checks(source_checks("fsspec"))
def test_contract(check):
    check()


def test_folders_patterns_files_and_lists_name_images(memory):
    memory.pipe("/data/list.txt", b"# images\ncat/0.png\n\nmemory://data/dog/1.png\n")
    for data, expected in (
        ("memory://data", ["cat/0.png", "dog/1.png", "dog/2.jpg"]),
        ("memory://data/*/*.png", ["cat/0.png", "dog/1.png"]),
        ("memory://data/dog/1.png", ["1.png"]),
        ("memory://data/list.txt", ["cat/0.png", "dog/1.png"]),
        (["memory://data/dog", "memory://data/cat/0.png"], ["cat/0.png", "dog/1.png", "dog/2.jpg"]),
    ):
        assert data_problems(data) == []
        source = open_source(data)
        assert names(source) == expected
        assert source.read(0) == picture(int(expected[0][-5]))


def test_folders_in_a_folder_are_classes(memory):
    labels = open_source("memory://data").labels()
    assert (labels.classes, labels.targets.tolist()) == (("cat", "dog"), [0, 1, 1])
    assert open_source(["memory://data/cat", "memory://data/dog"]).labels() is None


def test_an_image_is_read_once_and_again_when_it_has_changed(memory, monkeypatch):
    read = []
    cat_file = type(memory).cat_file
    monkeypatch.setattr(
        type(memory), "cat_file", lambda *given: read.append(given[1]) or cat_file(*given)
    )
    source = open_source("memory://data")
    assert [source.read(1) for _ in range(3)] == [picture(1)] * 3
    assert open_source("memory://data").read(1) == picture(1)
    assert len(read) == 1
    memory.pipe("/data/dog/1.png", picture(7))
    assert open_source("memory://data").read(1) == picture(7)
    without = open_source("memory://data?cache_size=0")
    assert [without.read(0), without.read(0)] == [picture(0)] * 2
    assert len(read) == 4


def test_an_error_that_passes_is_tried_again_and_others_are_a_reason(memory, monkeypatch):
    source = open_source("memory://data?cache_size=0")
    failures = [OSError("busy"), OSError("busy")]
    cat_file = type(memory).cat_file

    def sometimes(*given):
        if failures:
            raise failures.pop()
        return cat_file(*given)

    monkeypatch.setattr(type(memory), "cat_file", sometimes)
    assert source.read(0) == picture(0)
    failures[:] = [OSError("odd")] * 5
    assert load_or_reason(source, 0) == "OSError: odd"
    failures[:] = [ConnectionRefusedError("away")] * 5
    with pytest.raises(DataError, match=r"cannot be reached: ConnectionRefusedError: away"):
        load_or_reason(source, 0)
    failures[:] = [FileNotFoundError("gone")]
    assert "gone" in load_or_reason(source, 0)


def test_a_resumed_run_notices_other_content(memory):
    before = contents(open_source("memory://data?cache_size=0"))
    assert changes(before, open_source("memory://data")) == []
    memory.pipe("/data/dog/1.png", picture(9))
    found = changes(before, open_source("memory://data"))
    assert found == ["the content of images has changed"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("s3:/bucket", "does not exist"),  # a path of this machine
        ("memori://bucket", "did you mean 'memory:'"),
        ("memory://data?cache=1", "unknown key 'cache', did you mean 'cache_size'"),
        ("memory://data/a.tar", "file of samples"),
        ("https://me:secret@host/a", "URL of 'https://host/a' has a password"),
        ("abfs://a/b", "needs the package adlfs: pip install adlfs"),
    ],
)
def test_wrong_texts_are_refused_before_anything_is_read(data, words, monkeypatch):
    monkeypatch.setattr("lightly_core.data.remote_check.find_spec", lambda name: None)
    problems = data_problems(data)
    assert any(words in problem for problem in problems), problems


def test_what_is_not_there_is_named(memory):
    with pytest.raises(DataError, match="'memory://nowhere' does not exist"):
        open_source("memory://nowhere")
    memory.pipe("/documents/a.pdf", b"x")
    with pytest.raises(DataError, match=r"found 1 other files \(1 .pdf\)"):
        open_source("memory://documents")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *given):
        pass


@pytest.mark.slow
def test_a_page_of_links_is_a_folder(tmp_path):
    for name in ("site/a/1.png", "site/b/2.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_bytes(picture(int(name[-5])))
    handler = partial(Quiet, directory=str(tmp_path / "site"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        source = open_source(f"{url}/#cache_size=0")
        assert names(source) == ["a/1.png", "b/2.png"]
        assert source.labels().classes == ("a", "b")
        with multiprocessing.get_context().Pool(2) as pool:  # a fork must not use our connections
            read = pool.map_async(source.read, range(2)).get(120)
        assert read == [picture(1), picture(2)]
        files = open_source(str(tmp_path / "site"))
        for index in range(2):
            assert np.array_equal(np.asarray(source.load(index)), np.asarray(files.load(index)))
    finally:
        server.shutdown()
        server.server_close()
