"""Shards written by WebDataset, in a cache of their own."""

import pytest
from webdataset import ShardWriter


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Indexes and fetched shards stay out of the user's cache."""
    monkeypatch.setenv("LIGHTLY_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def write():
    """Return a function that writes samples, dictionaries of files by extension, to shards."""

    def write(folder, samples, *, maxcount=4):
        folder.mkdir(exist_ok=True)
        with ShardWriter(f"{folder}/%03d.tar", maxcount=maxcount, verbose=0) as writer:
            for number, sample in enumerate(samples):
                writer.write({"__key__": f"{number:02}", **sample})
        return sorted(folder.glob("*.tar"))

    return write
