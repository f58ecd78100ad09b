import errno
import io
import os
import shutil
import traceback
from pathlib import Path
from types import SimpleNamespace

import pytest

from lightly_core.download import fetch, transfer
from lightly_core.errors import ConfigError


def refused(url, **options):
    with pytest.raises(ConfigError) as error:
        fetch(url, what="weights of net", **options)
    text = str(error.value)
    assert text.startswith("weights of net: ")
    return text


@pytest.mark.parametrize("statuses", [[500], [503, 429], [502, 504, 408]])
def test_passing_failures_are_tried_again(site, cache, statuses):
    site.statuses = list(statuses)
    assert fetch(site.url(), what="weights").read_bytes() == site.content
    assert len(site.requests) == len(statuses) + 1


def test_a_server_that_stays_broken_is_given_up(site, cache):
    site.statuses = [500] * 10
    text = refused(site.url())
    assert "answered 500" in text
    assert str(cache / "net.pth") in text
    assert len(site.requests) == 4


def test_the_pauses_grow(site, cache, monkeypatch):
    pauses = []
    monkeypatch.setattr(transfer, "BACKOFF_SECONDS", (1.0, 3.0, 10.0))
    monkeypatch.setattr(transfer, "time", SimpleNamespace(sleep=pauses.append))
    site.statuses = [500] * 10
    refused(site.url())
    assert pauses == [1.0, 3.0, 10.0]


def test_a_server_that_never_gets_further_is_given_up(site, cache):
    site.takes_ranges = False
    site.cuts = [1000] * 10
    assert "connection cut after 1000 of 102400 bytes" in refused(site.url())
    assert len(site.requests) == 4


@pytest.mark.parametrize(
    ("status", "query", "advice"),
    [
        (403, "?Signature=abc", "may have expired: get a new one"),
        (403, "", "needs a login"),
        (401, "", "needs a login"),
        (404, "", "check the URL"),
        (410, "?x=1", "check the URL"),
    ],
)
def test_refusals_are_final_and_say_what_to_do(site, cache, status, query, advice):
    site.statuses = [status] * 10
    text = refused(site.url() + query)
    assert f"answered {status}" in text
    assert advice in text
    assert f"download {site.url()} elsewhere" in text
    assert f"put it at {cache / 'net.pth'}" in text
    assert len(site.requests) == 1


def test_a_web_page_is_no_file(site, cache):
    site.kind = "text/html; charset=utf-8"
    assert "is a web page, not a file" in refused(site.url())
    assert not (cache / "net.pth").exists()


def test_nobody_there(dead_url, cache):
    text = refused(dead_url)
    assert "cannot download net.pth from 127.0.0.1:" in text
    assert "Connection refused" in text
    assert f"put it at {cache / 'net.pth'}" in text


def test_a_host_without_address(cache):
    text = refused("https://no.such.host.invalid/net.pth?token=secret")
    assert "from no.such.host.invalid: " in text
    assert "secret" not in text


def test_no_answer_in_time(site, cache, monkeypatch):
    monkeypatch.setattr(transfer, "_TIMEOUT_SECONDS", 0.05)
    site.pause = 0.3
    site.takes_ranges = False
    assert "no answer from 127.0.0.1" in refused(site.url())


def test_a_server_that_trickles_is_given_up(site, cache, monkeypatch):
    monkeypatch.setattr(transfer, "SLOW_SECONDS", 0.05)
    site.block, site.pause = 100, 0.01
    assert "it sends less than 1 kB per second" in refused(site.url())


@pytest.mark.parametrize("says_size", [True, False])
def test_a_file_that_is_too_large_is_refused(site, cache, monkeypatch, says_size):
    monkeypatch.setattr(transfer, "MOST_BYTES", 50_000)
    site.says_size = says_size
    assert "it is larger than 50.0 kB" in refused(site.url())


@pytest.mark.parametrize("value", ["1", "true"])
def test_offline_asks_nobody(site, cache, monkeypatch, value):
    monkeypatch.setenv("LIGHTLY_OFFLINE", value)
    text = refused(site.url())
    assert "net.pth is not in the cache, and LIGHTLY_OFFLINE forbids" in text
    assert f"download {site.url()} elsewhere" in text
    assert site.requests == []
    assert not cache.exists()


def test_offline_uses_what_is_there(site, cache, monkeypatch, tmp_path):
    file = fetch(site.url(), sha256=site.sha256, what="weights")
    monkeypatch.setenv("LIGHTLY_OFFLINE", "1")
    assert fetch(site.url(), sha256=site.sha256, what="weights") == file
    (tmp_path / "local.pth").write_bytes(b"abc")
    assert fetch((tmp_path / "local.pth").as_uri(), what="weights").read_bytes() == b"abc"


def test_offline_can_be_switched_off(site, cache, monkeypatch):
    monkeypatch.setenv("LIGHTLY_OFFLINE", "0")
    assert fetch(site.url(), what="weights").read_bytes() == site.content


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("s3://bucket/net.pth", "cannot fetch s3:// URLs"),
        ("https:///net.pth", "the URL has no host"),
        ("file://server/share/net.pth", "names a file on server"),
        ("file:///no/such/net.pth", "No such file"),
        ("https://me:p/w@host/net.pth", "cannot understand the URL"),
    ],
)
def test_urls_that_cannot_be_fetched(cache, url, problem):
    text = refused(url)
    assert problem in text
    assert "p/w" not in text


def test_a_cache_that_cannot_be_made(site, cache):
    cache.parent.write_text("a file, not a folder")
    text = refused(site.url())
    assert f"cannot use the cache {cache}" in text
    assert "set LIGHTLY_CACHE_DIR" in text


def test_a_disk_without_enough_space_is_noticed_before(site, cache, monkeypatch):
    free = SimpleNamespace(free=len(site.content) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)
    assert "the disk is full" in refused(site.url())
    assert not (cache / ".net.pth.part").exists()


def test_a_disk_that_gets_full(site, cache, monkeypatch):
    class FullDisk(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    opened = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(
            Path,
            "open",
            lambda path, mode="r", **more: (
                FullDisk() if path.suffix == ".part" else opened(path, mode, **more)
            ),
        )
        assert "the disk is full" in refused(site.url())
    assert fetch(site.url(), what="weights").read_bytes() == site.content


# ---------------------------------------------------------------------------- secrets


@pytest.mark.parametrize(
    "ending",
    ["complete", "forbidden", "broken", "page", "cut", "wrong digest", "unreachable", "offline"],
)
def test_secrets_appear_nowhere(site, cache, caplog, monkeypatch, ending):
    caplog.set_level("DEBUG")
    url = site.url("/net.pth?Policy=sesame&Signature=sesame#sesame", user="sesame:sesame@")
    options = {}
    if ending == "forbidden":
        site.statuses = [403]
    elif ending == "broken":
        site.statuses = [500] * 4
    elif ending == "page":
        site.kind = "text/html"
    elif ending == "cut":
        site.takes_ranges, site.cuts = False, [1000] * 5
    elif ending == "wrong digest":
        options["sha256"] = "0" * 8
    elif ending == "unreachable":
        site.server.socket.close()
    elif ending == "offline":
        monkeypatch.setenv("LIGHTLY_OFFLINE", "1")
    try:
        fetch(url, what="weights", **options)
        assert ending == "complete"
        assert "Policy=sesame" in site.requests[0][0]
    except ConfigError as error:
        told = "".join(traceback.format_exception(error))
        assert ending != "complete"
        assert "sesame" not in told
    assert "sesame" not in caplog.text
    for file in cache.glob("**/*"):
        assert "sesame" not in str(file)
        assert file.is_dir() or b"sesame" not in file.read_bytes()


def test_user_and_password_are_sent(site, cache):
    fetch(site.url(user="me:p%40ss@"), what="weights")
    # base64 of "me:p@ss"
    assert site.requests[0][1]["Authorization"] == "Basic bWU6cEBzcw=="
