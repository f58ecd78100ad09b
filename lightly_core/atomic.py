"""Writes files that appear complete or not at all, even if the machine loses power."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Error numbers that mean that written data was lost.
_LOST = frozenset({errno.EIO, errno.ENOSPC, errno.EDQUOT})


@contextmanager
def atomic_path(path: Path, *, keep_old: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`. It is renamed on success, removed on failure.

    A reader sees the old file or the new one, never a part of one, and a full disk loses nothing.
    The content is written to the disk before the file is renamed. If `path` is a link, the file
    replaces the link, and the target of the link is not changed.

    Args:
        path: Path of the file.
        keep_old: New path of a previous file at `path`; None: it is replaced.

    Raises:
        FileExistsError: Something is at `path` that must not be replaced, such as ``/dev/null``.
        OSError: The file cannot be created, or the data did not reach the disk.
    """
    if not path.is_symlink() and path.exists() and not (path.is_file() or path.is_dir()):
        raise FileExistsError(errno.EEXIST, "A device, a pipe or a socket is there", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{path.stem}-", suffix=f"{path.suffix}.writing", dir=path.parent
    )
    os.close(handle)
    temporary = Path(name)
    # mkstemp creates files that only their owner can read. Results get the usual permissions.
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(0o666 & ~umask)
    try:
        yield temporary
        temporary.chmod(0o666 & ~umask)  # safetensors replaces the file by its own
        _flush(temporary)
        if keep_old is not None and path.exists():
            _keep(path, keep_old)
        os.replace(temporary, path)
        with suppress(OSError):  # the file itself is already complete
            _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _keep(path: Path, kept: Path) -> None:
    """Link the file at `path` as `kept` too. Without support for links it is moved there."""
    spare = kept.with_name(f".{kept.name}.writing")
    try:
        spare.unlink(missing_ok=True)
        os.link(path, spare)
        os.replace(spare, kept)
    except OSError:
        spare.unlink(missing_ok=True)
        os.replace(path, kept)


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are written to the disk.

    Raises:
        OSError: Written data is lost. A full network share may report it only here.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        # Some file systems do not support this, mostly for folders. Such errors are ignored.
        if error.errno in _LOST:
            raise
