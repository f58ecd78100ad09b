"""The cache of downloads: its files, where they are from, and one download at a time."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from lightly_core.atomic import atomic_path
from lightly_core.download.transfer import Transfer, Version
from lightly_core.download.urls import RemoteFile
from lightly_core.errors import ConfigError

log = logging.getLogger(__name__)

_CHUNK = 1 << 20
_LOCK_POLL_SECONDS = 0.2


def digest_of(path: Path) -> str:
    """Return the sha256 of a file, in hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True)
class Note:
    """Facts about a download, in a file next to it.

    Attributes:
        identity: `RemoteFile.identity` of its URL.
        version: Size and mark that the server reported.
        sha256: Digest; None before the download is complete.
        mtime_ns: The file's time when the digest was computed.
    """

    identity: str
    version: Version
    sha256: str | None = None
    mtime_ns: int | None = None


@dataclass(frozen=True)
class Entry:
    """Paths of one file of the cache."""

    folder: Path
    name: str

    @property
    def file(self) -> Path:
        """The complete file. It does not exist before it is complete."""
        return self.folder / self.name

    @property
    def part(self) -> Path:
        """The incomplete download."""
        return self.folder / f".{self.name}.part"

    @property
    def note_file(self) -> Path:
        """The `Note`, as JSON."""
        return self.folder / f".{self.name}.json"

    @property
    def lock_file(self) -> Path:
        """Locked by whoever downloads."""
        return self.folder / f".{self.name}.lock"

    def note(self) -> Note | None:
        """Read the note; None where it is missing or damaged."""
        try:
            facts = json.loads(self.note_file.read_text())
            return Note(**{**facts, "version": Version(**facts["version"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write_note(self, note: Note) -> None:
        """Replace the note."""
        with atomic_path(self.note_file) as temporary:
            temporary.write_text(json.dumps(asdict(note)))


class FileCache:
    """Downloads, each under the last part of its URL's path.

    Args:
        folder: Made when something is downloaded.
        offline: Whether the network must not be used.
    """

    def __init__(self, folder: Path, *, offline: bool) -> None:
        self.folder = folder
        self.offline = offline

    def get(self, remote: RemoteFile, wanted: str | None, what: str) -> Path:
        """Return the file, downloaded if it is not there.

        Args:
            remote: What to get.
            wanted: First digits of its sha256.
            what: For messages.

        Raises:
            ConfigError: It cannot be downloaded, or has another digest.
        """
        with _explained(self.folder, what):
            return self._get(remote, wanted, what)

    def _get(self, remote: RemoteFile, wanted: str | None, what: str) -> Path:
        # First without the lock, so that a read-only cache can be used.
        entry = self._entry(remote)
        if _is_ready(entry, remote, wanted, what):
            return entry.file
        if self.offline and remote.local is None:
            raise ConfigError(
                f"{what}: {remote.name} is not in the cache, and LIGHTLY_OFFLINE forbids to "
                f"download it from {remote.place}\n  {_other_ways(remote, entry.file)}"
            )
        with _locked(self.folder, remote, what):
            # Another process may have downloaded this file or one of the same name meanwhile.
            entry = self._entry(remote)
            if not _is_ready(entry, remote, wanted, what):
                _download(entry, remote, wanted, what)
        return entry.file

    def _entry(self, remote: RemoteFile) -> Entry:
        plain = Entry(self.folder, remote.name)
        note = plain.note()
        taken = plain.file.exists() or plain.part.exists()
        if note is None or note.identity == remote.identity or not taken:
            return plain
        mark = hashlib.sha256(remote.identity.encode()).hexdigest()[:8]
        name = Path(remote.name)
        return Entry(self.folder, f"{name.stem}-{mark}{name.suffix}")


def _is_ready(entry: Entry, remote: RemoteFile, wanted: str | None, what: str) -> bool:
    """Return whether the file exists and is the right one. A wrong download is not ready."""
    if not entry.file.is_file():
        return False
    note = entry.note()
    if note is not None and (note.identity != remote.identity or note.sha256 is None):
        note = None  # the user put the file there
    local = remote.local
    # A local file may have changed, which is cheap to check.
    now = Version.of_file(local) if local is not None and local.is_file() else None
    if note is not None and now is not None and now != note.version:
        return False
    if wanted is None:
        return True
    untouched = note is not None and note.mtime_ns == entry.file.stat().st_mtime_ns
    digest = note.sha256 if note is not None and untouched else None
    digest = digest or digest_of(entry.file)
    if digest.startswith(wanted) or note is not None:
        return digest.startswith(wanted)
    raise ConfigError(
        f"{what}: {entry.file} is not the expected file: its sha256 begins with "
        f"{digest[: len(wanted)]}, expected {wanted}"
        "\n  it was put there manually; remove it to download the right one"
    )


def _download(entry: Entry, remote: RemoteFile, wanted: str | None, what: str) -> None:
    """Download the file. The caller holds the lock."""
    if entry.file.exists():
        log.warning("%s: %s is damaged or out of date and is downloaded again", what, entry.file)
        entry.file.unlink()
    continued = entry.part.exists()
    digest = _complete_part(entry, remote, what)
    if wanted is not None and not digest.startswith(wanted) and continued:
        log.warning("%s: what arrived in two downloads does not fit; downloading it again", what)
        entry.part.unlink()
        digest = _complete_part(entry, remote, what)
    if wanted is not None and not digest.startswith(wanted):
        entry.part.unlink()
        raise ConfigError(
            f"{what}: the file from {remote.place} is damaged or another one: its sha256 begins "
            f"with {digest[: len(wanted)]}, expected {wanted}; it was removed"
            "\n  try again; if it happens again, the file on the server has changed"
        )
    note = entry.note()
    assert note is not None
    # The note first: a file without a digest in its note counts as put there manually.
    mtime = entry.part.stat().st_mtime_ns
    entry.write_note(replace(note, sha256=digest, mtime_ns=mtime))
    os.replace(entry.part, entry.file)
    log.info("%s: %s is complete", what, entry.file)


def _complete_part(entry: Entry, remote: RemoteFile, what: str) -> str:
    """Complete the incomplete download and return its digest."""
    note = entry.note() if entry.part.exists() else None

    def remember(version: Version) -> None:
        entry.write_note(Note(remote.identity, version))

    version = None if note is None else note.version
    Transfer(remote, entry.part, version, remember, entry.file, what).run()
    return digest_of(entry.part)


@contextmanager
def _locked(folder: Path, remote: RemoteFile, what: str) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    # The lock is that of the plain name, since the name of a URL's file is chosen while it is held.
    lock = FileLock(Entry(folder, remote.name).lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("%s: waiting for another process that downloads %s", what, remote.name)
        lock.acquire(poll_interval=_LOCK_POLL_SECONDS)
    except NotImplementedError as error:
        raise OSError(errno.ENOLCK, "files cannot be locked there") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _explained(folder: Path, what: str) -> Iterator[None]:
    """Convert errors of the file system."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = error.strerror or type(error).__name__
        raise ConfigError(
            f"{what}: cannot use the cache {folder}: {'the disk is full' if full else reason}"
            "\n  set LIGHTLY_CACHE_DIR to a folder that can be written to and has space, or "
            "download the file elsewhere and give its path"
        ) from error


def _other_ways(remote: RemoteFile, file: Path) -> str:
    return f"download {remote.shown} elsewhere and give the path of the file, or put it at {file}"
