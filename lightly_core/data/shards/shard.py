"""One shard: its file, and how its index is found."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import IO

from lightly_core.data.file_cache import BoundedCache
from lightly_core.data.shards.index import ShardIndex


class Shard(ABC):
    """A file of many images. Picklable.

    Args:
        place: Its name for the user: a path, a URL or a command.
        reading: Text of all options that `scan` depends on.
    """

    def __init__(self, place: str, reading: str) -> None:
        self.place = place
        self.reading = reading

    @abstractmethod
    def version(self) -> str:
        """Return a text that names the file, and that changes when the file does.

        Raises:
            Exception: It does not exist, or cannot be reached.
        """

    @abstractmethod
    def open(self) -> IO[bytes]:
        """Open the file for reading at any position.

        Raises:
            Exception: It cannot be opened.
        """

    def prepare(self) -> None:  # noqa: B027 - optional
        """Fetch what `open` needs, before it is needed.

        Raises:
            Exception: It cannot be fetched.
        """

    @abstractmethod
    def scan(self, file: IO[bytes]) -> ShardIndex:
        """Find the images in the opened file."""


class LocalShard(Shard):
    """A file of this machine; `place` is its path."""

    def version(self) -> str:
        """Return path, size and time of the file."""
        status = os.stat(self.place)
        return f"{os.path.realpath(self.place)} {status.st_size} {status.st_mtime_ns}"

    def open(self) -> IO[bytes]:
        """Open the file."""
        return open(self.place, "rb", buffering=0)


class FetchedShard(Shard):
    """A file that is fetched as a whole when it is needed.

    Args:
        place: Its name for the user.
        reading: Text of all options that `scan` depends on.
        cache: Where it is kept.
    """

    def __init__(self, place: str, reading: str, cache: BoundedCache) -> None:
        super().__init__(place, reading)
        self.cache = cache
        self._version: str | None = None

    @abstractmethod
    def ask_version(self) -> str:
        """Return what changes when the file does, by asking its server.

        Raises:
            Exception: It does not exist, or cannot be reached.
        """

    @abstractmethod
    def fetch(self, path: Path) -> None:
        """Write the file to a path.

        Raises:
            Exception: It cannot be fetched.
        """

    def version(self) -> str:
        """Return the place, and what its server has said of it at the first call."""
        if self._version is None:
            self._version = f"{self.place} {self.ask_version()}"
        return self._version

    def prepare(self) -> None:
        """Fetch the file if the cache does not have it."""
        self.cache.prepare(self.version(), self.fetch)

    def open(self) -> IO[bytes]:
        """Open the copy in the cache."""
        return self.cache.open(self.version(), self.fetch)
