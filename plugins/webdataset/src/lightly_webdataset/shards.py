"""Tar files as shards: of this machine, behind URLs, and outputs of commands."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import IO

from lightly_core.data.file_cache import BoundedCache
from lightly_core.data.remote import RemoteFile
from lightly_core.data.shards.index import ShardIndex
from lightly_core.data.shards.shard import FetchedShard, LocalShard, Shard
from lightly_webdataset.config import WebDatasetArgs
from lightly_webdataset.places import PIPE, is_local
from lightly_webdataset.tar_index import scan


class _Tar(Shard):
    """The index of a tar file."""

    options: WebDatasetArgs

    def scan(self, file: IO[bytes]) -> ShardIndex:
        return scan(file, self.options)


class _LocalTar(_Tar, LocalShard):
    """A tar file of this machine."""


class _RemoteTar(_Tar, FetchedShard):
    """A tar file behind a URL."""

    def ask_version(self) -> str:
        return RemoteFile(self.place).version()

    def fetch(self, path: Path) -> None:
        RemoteFile(self.place).fetch(path)


class _PipedTar(_Tar, FetchedShard):
    """The output of a command, which is taken to be the same each time."""

    def ask_version(self) -> str:
        return ""

    def fetch(self, path: Path) -> None:
        from webdataset.gopen import gopen

        with gopen(self.place) as stream, path.open("wb") as file:
            shutil.copyfileobj(stream, file, 1 << 20)


def shard_of(place: str, options: WebDatasetArgs, cache: BoundedCache) -> Shard:
    """Return the shard at an expanded place."""
    reading = f"image={options.image} label={options.label}"
    shard: _Tar
    if is_local(place):
        shard = _LocalTar(place, reading)
    elif place.startswith(PIPE):
        shard = _PipedTar(place, reading, cache)
    else:
        shard = _RemoteTar(place, reading, cache)
    shard.options = options
    return shard
