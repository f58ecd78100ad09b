import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lightly_core import progress
from lightly_core.download import cache_folder, fetch, transfer
from lightly_core.errors import ConfigError

# ---------------------------------------------------------------------------- local files


def test_a_path_is_returned_as_it_is(tmp_path, cache):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"abc")
    assert fetch(file, what="weights") == file
    assert fetch(str(file), what="weights") == file
    assert not cache.exists()


def test_the_home_folder_is_filled_in(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "weights.pth").write_bytes(b"abc")
    assert fetch("~/weights.pth", what="weights") == tmp_path / "weights.pth"


@pytest.mark.parametrize(
    ("name", "problem"), [("nowhere.pth", "there is no file"), ("", "is a folder")]
)
def test_a_path_without_a_file_is_refused(tmp_path, name, problem):
    with pytest.raises(ConfigError, match=f"weights of net: .*{problem}"):
        fetch(tmp_path / name, what="weights of net")


# sha256 of "abc", from FIPS 180-2
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("digest", [ABC, ABC[:8], ABC[:10].upper()])
def test_the_digest_of_a_path_is_checked(tmp_path, digest):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"abc")
    assert fetch(file, sha256=digest, what="weights") == file
    file.write_bytes(b"abd")
    with pytest.raises(ConfigError, match=f"expected {digest.lower()}"):
        fetch(file, sha256=digest, what="weights")
    assert file.exists()


@pytest.mark.parametrize("digest", ["ba7816b", "ba7816bg", ABC + "0", ""])
def test_what_is_no_digest_is_refused(tmp_path, digest):
    with pytest.raises(ConfigError, match="first 8 or more digits"):
        fetch(tmp_path, sha256=digest, what="weights")


# ---------------------------------------------------------------------------- the cache


def test_where_the_cache_is(monkeypatch):
    names = ("LIGHTLY_CACHE_DIR", "LIGHTLY_TRAIN_CACHE_DIR", "XDG_CACHE_HOME")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder() == Path("/home/me/.cache/lightly")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/lightly")
    monkeypatch.setenv("LIGHTLY_TRAIN_CACHE_DIR", "/old")
    assert cache_folder() == Path("/old")
    monkeypatch.setenv("LIGHTLY_CACHE_DIR", "~/new")
    assert cache_folder() == Path("/home/me/new")


@pytest.mark.parametrize("says_size", [True, False])
def test_a_file_is_downloaded_once(site, cache, says_size):
    site.says_size = says_size
    file = fetch(site.url(), sha256=site.sha256[:8], what="weights")
    assert file == cache / "net.pth"
    assert file.read_bytes() == site.content
    again = fetch(site.url(), sha256=site.sha256, what="weights")
    assert again == file
    assert len(site.requests) == 1
    assert not list(cache.glob(".*.part"))


def test_signed_urls_of_one_file_are_one_file(site, cache):
    fetch(site.url("/net.pth?Signature=a&Expires=1"), what="weights")
    fetch(site.url("/net.pth?Signature=b&Expires=2#part"), what="weights")
    assert [path for path, _ in site.requests] == ["/net.pth?Signature=a&Expires=1"]


def test_queries_count_where_the_path_names_no_file(site, cache):
    first = fetch(site.url("/download?id=1"), what="weights")
    content = site.content
    site.content = b"two"
    second = fetch(site.url("/download?id=2"), what="weights")
    assert first.read_bytes() == content
    assert second.read_bytes() == b"two"
    assert fetch(site.url("/download?id=1"), what="weights") == first
    assert len(site.requests) == 2


def test_files_of_one_name_are_not_mixed_up(site, another_site, cache):
    first = fetch(site.url("/a/net.pth"), what="weights")
    second = fetch(another_site.url("/a/net.pth"), what="weights")
    third = fetch(site.url("/b/net.pth"), what="weights")
    assert len({first, second, third}) == 3
    assert {file.suffix for file in (first, second, third)} == {".pth"}
    assert first.read_bytes() == third.read_bytes() == site.content
    assert second.read_bytes() == b"another file"
    assert fetch(another_site.url("/a/net.pth"), what="weights") == second
    assert len(another_site.requests) == 1


def test_a_file_that_was_put_there_is_used(site, cache):
    cache.mkdir(parents=True)
    (cache / "net.pth").write_bytes(b"abc")
    assert fetch(site.url(), what="weights") == cache / "net.pth"
    assert fetch(site.url(), sha256=ABC, what="weights") == cache / "net.pth"
    assert site.requests == []
    with pytest.raises(ConfigError, match="put there manually; remove it"):
        fetch(site.url(), sha256=site.sha256, what="weights")
    assert (cache / "net.pth").read_bytes() == b"abc"


def test_a_damaged_download_is_replaced(site, cache, caplog):
    file = fetch(site.url(), sha256=site.sha256, what="weights")
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    assert fetch(site.url(), sha256=site.sha256, what="weights").read_bytes() == site.content
    assert len(site.requests) == 2
    assert "damaged or out of date" in caplog.text


def test_a_cache_that_cannot_be_written_to_can_be_read(site, cache):
    fetch(site.url(), sha256=site.sha256, what="weights")
    (cache / ".net.pth.lock").unlink(missing_ok=True)
    before = sorted(path.name for path in cache.iterdir())
    fetch(site.url(), sha256=site.sha256, what="weights")
    assert sorted(path.name for path in cache.iterdir()) == before


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a%20b/my%20net.pth", "my net.pth"),
        ("/a/b%2F..%2F..%2Fnet.pth", "_.._net.pth"),
        ("/..%2f.hidden", "hidden"),
        ("/", "download"),
        ("/" + "x" * 300 + ".pth", "x" * 146 + ".pth"),
    ],
)
def test_names_of_files_are_tame(site, cache, path, name):
    file = fetch(site.url(path), what="weights")
    assert file.parent == cache
    assert file.name.endswith(name)
    assert not file.name.startswith(".")
    assert len(file.name) <= 150


def test_a_file_url_is_copied_and_followed(tmp_path, cache):
    original = tmp_path / "my net.pth"
    original.write_bytes(b"abc")
    url = original.as_uri()
    assert url.endswith("my%20net.pth")
    file = fetch(url, sha256=ABC, what="weights")
    assert file == cache / "my net.pth"
    assert fetch(url, what="weights").read_bytes() == b"abc"
    original.write_bytes(b"newer")
    assert fetch(url, what="weights").read_bytes() == b"newer"
    original.unlink()
    assert fetch(url, what="weights").read_bytes() == b"newer"


def test_redirects_are_followed(site, another_site, cache):
    site.redirects["/net.pth"] = another_site.url("/else/x.bin?token=1")
    file = fetch(site.url("/net.pth", user="me:pw@"), what="weights")
    assert file == cache / "net.pth"
    assert file.read_bytes() == b"another file"
    assert "Authorization" in site.requests[0][1]
    assert "Authorization" not in another_site.requests[0][1]


# ---------------------------------------------------------------------------- one at a time


@pytest.mark.slow
def test_of_many_threads_one_downloads(site, cache):
    site.pause = 0.02
    with ThreadPoolExecutor(6) as pool:
        files = list(pool.map(lambda _: fetch(site.url(), what="weights"), range(6)))
    assert {file.read_bytes() for file in files} == {site.content}
    assert len(site.requests) == 1


@pytest.mark.processes
def test_of_many_processes_one_downloads(site, cache):
    site.pause = 0.1
    code = (
        "import logging, sys; from lightly_core.download import fetch\n"
        "assert 'torch' not in sys.modules\n"
        "logging.basicConfig(level=logging.INFO)\n"
        "print(fetch(sys.argv[1], sha256=sys.argv[2], what='weights').stat().st_size)"
    )
    command = [sys.executable, "-c", code, site.url(), site.sha256]
    pipe = subprocess.PIPE
    workers = [subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) for _ in range(3)]
    outputs = [worker.communicate(timeout=60) for worker in workers]
    assert [out.strip() for out, _ in outputs] == [str(len(site.content))] * 3, outputs
    assert len(site.requests) == 1


@pytest.mark.slow
def test_who_waits_says_so(site, cache, caplog):
    site.pause = 0.05
    first = threading.Thread(target=fetch, args=(site.url(),), kwargs={"what": "weights"})
    first.start()
    while not site.sent:
        time.sleep(0.005)
    fetch(site.url(), what="weights")
    first.join()
    waiting = [record for record in caplog.records if "waiting" in record.message]
    assert [record.getMessage() for record in waiting] == [
        "weights: waiting for another process that downloads net.pth"
    ]
    assert len(site.requests) == 1


# ---------------------------------------------------------------------------- announcements


def test_a_download_is_announced_in_one_line(site, cache, caplog):
    fetch(site.url(), what="weights of net")
    host = f"127.0.0.1:{site.server.server_address[1]}"
    assert [record.getMessage() for record in caplog.records] == [
        f"Downloading weights of net: net.pth (102.4 kB) from {host} to {cache / 'net.pth'}",
        f"weights of net: {cache / 'net.pth'} is complete",
    ]


def test_progress_is_told_now_and_then(site, cache, caplog, monkeypatch):
    site.pause, site.block = 0.02, 1 << 13
    monkeypatch.setattr(transfer, "_CHUNK", 1 << 13)
    for name in ("START_SECONDS", "LOOK_SECONDS", "LINE_SECONDS"):
        monkeypatch.setattr(progress, name, 0.05)
    monkeypatch.setenv("LIGHTLY_PROGRESS", "lines")
    fetch(site.url(), what="weights")
    lines = [record.getMessage() for record in caplog.records if "%)" in record.getMessage()]
    # 13 blocks of 20 ms: at most one line every 50 ms.
    assert 1 <= len(lines) <= 13 * 0.02 / 0.05 + 3
    assert lines[0].startswith("Downloading net.pth: ")
    assert "of 102.4 kB (" in lines[0]
