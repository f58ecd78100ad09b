"""Transfer a file from a server: with retries, resumed after an interruption, with progress."""

from __future__ import annotations

import errno
import http.client
import logging
import os
import re
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from lightly_core.download.urls import RemoteFile
from lightly_core.errors import ConfigError
from lightly_core.progress import progress
from lightly_core.version import __version__

log = logging.getLogger(__name__)

#: Seconds to wait after failures in a row; after one more the download fails.
BACKOFF_SECONDS = (1.0, 3.0, 10.0)

#: More bytes than any file of weights. Without a limit, an endless response would fill the disk.
MOST_BYTES = 100 * 10**9

#: A download with fewer than these bytes in so many seconds fails.
SLOW_BYTES, SLOW_SECONDS = 60_000, 60.0

_TIMEOUT_SECONDS = 30.0
_CHUNK = 1 << 18
_TEMPORARY_STATUS = (408, 425, 429)
_LOST = (
    ConnectionResetError,
    ConnectionAbortedError,
    BrokenPipeError,
    ssl.SSLEOFError,
    http.client.HTTPException,
)


@dataclass(frozen=True)
class Version:
    """Identity of a file's content on a server. It is equal as long as the file is unchanged.

    Attributes:
        size: Bytes; None where the server does not report it.
        etag: The server's ETag.
        modified: When it was changed.
    """

    size: int | None = None
    etag: str | None = None
    modified: str | None = None

    @classmethod
    def of_file(cls, path: Path) -> Version:
        """Return the same for a local file."""
        status = path.stat()
        return cls(size=status.st_size, modified=str(status.st_mtime_ns))

    def may_be(self, other: Version) -> bool:
        """Return whether no value known of both differs. Partial responses have fewer headers."""
        pairs = (
            (self.size, other.size),
            (self.etag, other.etag),
            (self.modified, other.modified),
        )
        return all(mine == theirs for mine, theirs in pairs if None not in (mine, theirs))

    @property
    def condition(self) -> str | None:
        """Value of an If-Range header, which needs a strong ETag or a date."""
        strong = self.etag is not None and not self.etag.startswith("W/")
        return self.etag if strong else self.modified


class _TemporaryError(Exception):
    """An error that may be gone at the next attempt. The text is for the user."""


class _ChangedError(Exception):
    """The incomplete file belongs to another version than the file on the server."""


def _readable(size: int) -> str:
    """Format a number of bytes with a unit."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"


@dataclass
class _Pace:
    """Progress of a download at the start of the current interval.

    Attributes:
        done: Bytes received by then.
        since: Start of the interval in seconds.
    """

    done: int
    since: float

    def is_slow(self, done: int, now: float) -> bool:
        """Return whether an interval has ended with too few bytes, and start the next one."""
        if now - self.since < SLOW_SECONDS:
            return False
        slow = done - self.done < SLOW_BYTES
        self.done, self.since = done, now
        return slow


@dataclass
class Transfer:
    """One download.

    Attributes:
        remote: The file's URL.
        part: The incomplete file; created if missing.
        version: Version of `part`; None where it is empty.
        remember: Called with the version before its first byte is written.
        target: Final path of the file, for messages.
        what: Description of the file, for messages.
    """

    remote: RemoteFile
    part: Path
    version: Version | None
    remember: Callable[[Version], None]
    target: Path
    what: str
    announced: bool = field(default=False, init=False)

    def run(self) -> None:
        """Complete `part`.

        Raises:
            ConfigError: The file cannot be downloaded.
            OSError: `part` cannot be written.
        """
        failures = 0
        while True:
            before = self._arrived()
            try:
                self._attempt()
                return
            except _ChangedError:
                log.info("%s: the file on %s has changed", self.what, self.remote.place)
                self.part.unlink(missing_ok=True)
                self.version = None
                problem = "the file keeps changing on the server"
            except _TemporaryError as error:
                problem = str(error)
                if self._arrived() > before:
                    failures = 0  # the attempt made progress
            failures += 1
            if failures > len(BACKOFF_SECONDS):
                raise self._unreachable(problem)
            seconds = BACKOFF_SECONDS[failures - 1]
            log.info("%s: %s; trying again in %g s", self.what, problem, seconds)
            time.sleep(seconds)

    def _arrived(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _attempt(self) -> None:
        """Send one request and write the response."""
        if self.remote.local is not None:
            self._copy(self.remote.local)
            return
        offset = self._arrived() if self.version is not None else 0
        if self.version is not None and offset and offset == self.version.size:
            return
        with self._open(offset) as response:
            version, continues = _understand(response, offset)
            if continues and self.version is not None and not version.may_be(self.version):
                raise _ChangedError
            self._refuse_web_page(response.headers)
            self._write(response, version, offset if continues else 0)

    def _copy(self, local: Path) -> None:
        try:
            stream = local.open("rb")
        except OSError as error:
            raise ConfigError(
                f"{self.what}: cannot read {local}: {error.strerror}\n  check the URL"
            ) from error
        with stream:
            self._write(stream, Version.of_file(local), 0)

    def _open(self, offset: int) -> http.client.HTTPResponse:
        request = urllib.request.Request(self.remote.url)
        request.add_header("User-Agent", f"lightly-core/{__version__}")
        request.add_header("Accept-Encoding", "identity")
        if self.remote.authorization is not None:
            # A redirect to another host must not receive it.
            request.add_unredirected_header("Authorization", self.remote.authorization)
        if offset:
            request.add_header("Range", f"bytes={offset}-")
            if self.version is not None and self.version.condition is not None:
                request.add_header("If-Range", self.version.condition)
        try:
            response: http.client.HTTPResponse
            response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
            return response
        except urllib.error.HTTPError as error:
            error.close()
            raise self._refused(error.code, error.reason) from None
        except urllib.error.URLError as error:
            raise self._failed(error.reason) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise self._failed(error) from None

    def _refused(self, status: int, reason: object) -> Exception:
        answer = f"{self.remote.place} answered {status} {reason}"
        if status >= 500 or status in _TEMPORARY_STATUS:
            return _TemporaryError(answer)
        if status == 416:
            return _ChangedError()
        if status in (401, 403) and self.remote.has_query:
            advice = "the link is signed and may have expired: get a new one; or "
        elif status in (401, 403):
            advice = "the file needs a login, or that its licence is accepted: get a link of "
            advice += "your own; or "
        else:
            advice = "check the URL; or "
        return ConfigError(
            f"{self.what}: cannot download {self.remote.shown}: {answer}\n  {advice}{self._ways()}"
        )

    def _failed(self, reason: object) -> Exception:
        """Return the error for a connection that failed; its text never quotes the URL."""
        if isinstance(reason, ssl.SSLCertVerificationError):
            return self._unreachable(f"its certificate is not trusted: {reason.verify_message}")
        if isinstance(reason, (ValueError, http.client.InvalidURL)):
            return self._unreachable("the URL is not valid")
        if isinstance(reason, TimeoutError):
            return _TemporaryError(f"no answer from {self.remote.place} in time")
        if isinstance(reason, _LOST):
            return _TemporaryError(f"connection to {self.remote.place} lost")
        if isinstance(reason, socket.gaierror):
            return self._unreachable("its name cannot be resolved")
        text = reason.strerror if isinstance(reason, OSError) else None
        return self._unreachable(text or type(reason).__name__)

    def _unreachable(self, reason: str) -> ConfigError:
        return ConfigError(
            f"{self.what}: cannot download {self.remote.name} from {self.remote.place}: {reason}"
            f"\n  without network: {self._ways()}"
        )

    def _ways(self) -> str:
        return (
            f"download {self.remote.shown} elsewhere and give the path of the file, "
            f"or put it at {self.target}"
        )

    def _refuse_web_page(self, headers: http.client.HTTPMessage) -> None:
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind == "text/html" and not self.remote.name.endswith((".html", ".htm")):
            raise ConfigError(
                f"{self.what}: {self.remote.shown} is a web page, not a file"
                f"\n  the link needs a login or has expired: get a new one; or {self._ways()}"
            )

    def _write(self, stream: IO[bytes], version: Version, offset: int) -> None:
        self._announce(version, offset)
        if version.size is not None:
            free = shutil.disk_usage(self.part.parent).free
            self._refuse_size(version.size)
            if version.size - offset > free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if offset == 0:
            # The content belongs to another version.
            self.part.unlink(missing_ok=True)
            self.remember(version)
            self.version = version
        done = offset
        pace = _Pace(done, time.monotonic())
        what = f"Downloading {self.remote.name}"
        with (
            self.part.open("ab") as out,
            progress(what, version.size, unit="bytes", done=offset) as task,
        ):
            while chunk := self._read(stream):
                out.write(chunk)
                done += len(chunk)
                self._refuse_size(done)
                if pace.is_slow(done, time.monotonic()):
                    raise self._unreachable("it sends less than 1 kB per second")
                task.reach(done)
        if version.size is not None and done < version.size:
            raise _TemporaryError(f"connection cut after {done} of {version.size} bytes")
        if version.size is not None and done > version.size:
            raise _ChangedError

    def _refuse_size(self, size: int) -> None:
        if size > MOST_BYTES:
            raise self._unreachable(
                f"it is larger than {_readable(MOST_BYTES)}, which no file of weights is"
            )

    def _read(self, stream: IO[bytes]) -> bytes:
        # `read` would wait for the whole chunk on a slow connection.
        read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
        try:
            return read(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise self._failed(error) from None

    def _announce(self, version: Version, offset: int) -> None:
        if self.announced:
            return
        self.announced = True
        size = "unknown size" if version.size is None else _readable(version.size)
        rest = f", resumed after {_readable(offset)}" if offset else ""
        log.info(
            "Downloading %s: %s (%s%s) from %s to %s",
            self.what, self.remote.name, size, rest, self.remote.place, self.target,
        )  # fmt: skip


def _understand(response: http.client.HTTPResponse, offset: int) -> tuple[Version, bool]:
    """Return the version on the server, and whether the response continues at `offset`."""
    headers = response.headers
    etag, modified = headers.get("ETag"), headers.get("Last-Modified")
    if response.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", "").strip())
        if found is None or int(found[1]) != offset:
            raise _ChangedError
        size = None if found[2] == "*" else int(found[2])
        return Version(size, etag, modified), True
    length = headers.get("Content-Length", "")
    return Version(int(length) if length.isdigit() else None, etag, modified), False
