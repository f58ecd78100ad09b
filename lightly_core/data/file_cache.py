"""A folder of copies of remote files whose size is limited. The files used longest ago go first."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from filelock import FileLock

from lightly_core.atomic import atomic_path
from lightly_core.download import cache_folder

_LOCKS = "locks"
_LOCK_POLL_SECONDS = 0.1
#: Each process looks at the size of the folder when it has added this fraction of the limit.
_LOOK_AFTER = 0.02
#: Age of unfinished files after which their process is taken to have been killed.
_LEFT_BEHIND_SECONDS = 24 * 3600


class BoundedCache:
    """Files by key, shared by the processes of a machine. One of them fetches a missing file.

    Args:
        name: Name of the folder in that of downloads, see `lightly_core.download.cache_folder`.
        limit: Bytes of all files together, which each process may exceed by 2 %. A file that is
            larger is kept until the next one.
    """

    def __init__(self, name: str, limit: int) -> None:
        self.folder = cache_folder() / name
        self.limit = limit
        self._added: float = limit  # bytes since this process looked at the folder

    def open(self, key: str, fetch: Callable[[Path], None]) -> IO[bytes]:
        """Open the file of a key for reading.

        Args:
            key: Any text; another version of a file needs another key.
            fetch: Writes the file to the path that it is given, if the cache does not have it.

        Raises:
            Exception: What `fetch` raises. Nothing is kept then.
        """
        path = self._path(key)
        while True:
            try:
                file = path.open("rb", buffering=0)
            except FileNotFoundError:
                self._add(path, fetch)
                continue
            with suppress(OSError):  # the folder may be read-only
                os.utime(path)
            return file

    def prepare(self, key: str, fetch: Callable[[Path], None]) -> None:
        """Fetch the file of a key if it is missing, as `open` does, and leave it in the folder."""
        path = self._path(key)
        if not path.exists():
            self._add(path, fetch)

    def _path(self, key: str) -> Path:
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        return self.folder / digest[:40]

    def _add(self, path: Path, fetch: Callable[[Path], None]) -> None:
        locks = self.folder / _LOCKS
        locks.mkdir(parents=True, exist_ok=True)
        # 256 locks for all files, so that they need no cleaning up.
        with FileLock(locks / path.name[:2]).acquire(poll_interval=_LOCK_POLL_SECONDS):
            if path.exists():  # another process has fetched it meanwhile
                return
            with atomic_path(path) as temporary:
                fetch(temporary)
                self._added += temporary.stat().st_size
        if self._added > self.limit * _LOOK_AFTER:
            self._added = 0
            self._evict(path)

    def _evict(self, newest: Path) -> None:
        """Remove the files used longest ago until the rest is within the limit."""
        entries: list[tuple[float, int, str]] = []
        with os.scandir(self.folder) as found:
            for entry in found:
                with suppress(OSError):  # another process may have removed it
                    status = entry.stat()
                    if entry.is_file() and not entry.name.startswith("."):
                        entries.append((status.st_mtime, status.st_size, entry.path))
                    elif entry.is_file() and status.st_mtime < time.time() - _LEFT_BEHIND_SECONDS:
                        os.unlink(entry.path)
        total = sum(size for _, size, _ in entries)
        # A file that has been added since then may not be open yet.
        ages = [age for age, _, path in entries if path == str(newest)]
        for age, size, path in sorted(entries):
            if total <= self.limit or [age] >= ages:
                return
            if path != str(newest):
                with suppress(OSError):  # on Windows a file that is open stays
                    os.unlink(path)
                    total -= size
