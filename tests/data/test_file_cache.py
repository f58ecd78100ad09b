import os
import threading

import pytest

from lightly_core.data.file_cache import BoundedCache


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTLY_CACHE_DIR", str(tmp_path))
    return BoundedCache("files", 100)


def get(cache, key, size=10, fetched=None):
    def fetch(path):
        if fetched is not None:
            fetched.append(key)
        path.write_bytes(key.encode() * size)

    with cache.open(key, fetch) as file:
        return file.read()


def kept(cache):
    return {path.read_bytes()[:1].decode() for path in cache.folder.iterdir() if path.is_file()}


def test_a_file_is_fetched_once(cache):
    fetched = []
    assert [get(cache, "a", fetched=fetched) for _ in range(3)] == [b"a" * 10] * 3
    assert fetched == ["a"]


def test_the_files_used_longest_ago_go_first(cache):
    for age, key in enumerate("abc"):
        get(cache, key, size=30)
        (path,) = [one for one in cache.folder.iterdir() if one.is_file() and kept_as(one) == key]
        os.utime(path, (1000 + age, 1000 + age))
    get(cache, "a", size=30)  # used again
    get(cache, "d", size=30)
    assert kept(cache) == {"a", "c", "d"}


def kept_as(path):
    return path.read_bytes()[:1].decode()


def test_a_file_above_the_limit_is_kept_until_the_next_one(cache):
    assert len(get(cache, "a", size=500)) == 500
    assert kept(cache) == {"a"}
    get(cache, "b")
    assert kept(cache) == {"b"}


def test_nothing_is_kept_of_a_fetch_that_fails(cache):
    def fetch(path):
        path.write_bytes(b"half")
        raise OSError("the server is away")

    with pytest.raises(OSError, match="away"):
        cache.open("a", fetch)
    assert kept(cache) == set()


def test_several_threads_fetch_a_file_once(cache):
    fetched, found = [], []
    threads = [
        threading.Thread(target=lambda: found.append(get(cache, "a", fetched=fetched)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (fetched, found) == (["a"], [b"a" * 10] * 8)
