"""Files behind URLs, by fsspec. A file system is built in the process that uses it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from lightly_core.errors import DataError

T = TypeVar("T")

#: Facts that a file system may know of a file, and that change when the file does.
_MARKS = (
    *("size", "ETag", "etag", "Content-MD5", "md5Hash", "generation", "mtime", "updated"),
    *("LastModified", "Last-Modified", "last_modified", "created"),
)
#: Seconds before each further try.
_WAITS = (0.5, 1.0, 2.0, 4.0)
#: Names of error classes of aiohttp and botocore that mean that a server is away. They have no base
#: class in the standard library.
_AWAY = ("ClientConnectionError", "ServerTimeoutError", "ConnectionError", "HTTPClientError")
#: Answers of a server that does not have a file.
_MISSING = (404, 410)
#: Errors that another try does not mend.
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotImplementedError, ImportError)


class RemoteFile:
    """One file behind a URL.

    Args:
        url: Its URL, with any scheme that fsspec knows.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def version(self) -> str:
        """Return a text that changes when the file does.

        Raises:
            Exception: It does not exist, or cannot be reached.
        """
        system, path = file_system(self.url)
        return file_version(tried(lambda: system.info(path)))

    def fetch(self, to: Path) -> None:
        """Write the file to a path.

        Raises:
            Exception: It cannot be read.
        """
        system, path = file_system(self.url)
        tried(lambda: system.get_file(path, str(to)))


def file_version(facts: Mapping[str, Any]) -> str:
    """Return a text that changes when a file does, from what its file system says of it."""
    return " ".join(f"{mark}={facts[mark]}" for mark in _MARKS if mark in facts)


def file_system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it.

    fsspec keeps one for each process and for equal settings, which come from its own files of
    settings and environment variables.

    Raises:
        ImportError: A package is missing.
        ValueError: The scheme is unknown.
    """
    from fsspec.core import url_to_fs

    system, path = url_to_fs(url)
    return system, path


def tried(action: Callable[[], T]) -> T:
    """Return the result of an action, which is tried up to five times in eight seconds.

    Raises:
        DataError: A server cannot be reached. A run stops then: replacing all images by those that
            can be read would not be what the user wants.
        Exception: That of the last try.
    """
    for wait in _WAITS:
        try:
            return action()
        except Exception as error:  # each file system has its own errors
            if isinstance(_cause(error), _FINAL):
                raise
            time.sleep(wait)
    try:
        return action()
    except Exception as error:
        if not _is_away(_cause(error)):
            raise
        text = " ".join(str(error).split())[:200]
        raise DataError(
            f"a server of images cannot be reached: {type(error).__name__}: {text}; when it can be "
            "reached again, resume_interrupted=true continues an interrupted run"
        ) from error


def _cause(error: Exception) -> BaseException:
    """Return what a file is really missing for: fsspec says so of every error of an http server."""
    cause = error.__cause__
    if not isinstance(error, FileNotFoundError) or cause is None:
        return error
    return error if getattr(cause, "status", None) in _MISSING else cause


def _is_away(error: BaseException) -> bool:
    names = {base.__name__ for base in type(error).__mro__}
    return isinstance(error, (ConnectionError, TimeoutError)) or not names.isdisjoint(_AWAY)
