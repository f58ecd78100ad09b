"""Files that appear complete or not at all, also when the machine loses power."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Numbers by which a system says that it could not keep what was written.
_LOST = frozenset({errno.EIO, errno.ENOSPC, errno.EDQUOT})


@contextmanager
def atomic_path(path: Path, *, keep_old: Path | None = None) -> Iterator[Path]:
    """Give a temporary name beside `path`; on success it is renamed, on failure removed.

    A reader thus sees the old file or the new one, never half of one, and a full disk loses
    nothing. The content has reached the disk before the new name does. A link in the place of
    `path` is replaced by the file; what it points to stays as it is.

    Args:
        path: Where the file is to be.
        keep_old: Where the file that was there before goes; None: nowhere.

    Raises:
        FileExistsError: Something is at `path` that must not be replaced, such as ``/dev/null``.
        OSError: The file cannot be made, or what was written did not reach the disk.
    """
    if not path.is_symlink() and path.exists() and not (path.is_file() or path.is_dir()):
        raise FileExistsError(errno.EEXIST, "A device, a pipe or a socket is there", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{path.stem}-", suffix=f"{path.suffix}.writing", dir=path.parent
    )
    os.close(handle)
    temporary = Path(name)
    # mkstemp makes files that only their owner can read; results are to be shared like others.
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(0o666 & ~umask)
    try:
        yield temporary
        temporary.chmod(0o666 & ~umask)  # safetensors puts a file of its own there
        _flush(temporary)
        if keep_old is not None and path.exists():
            _keep(path, keep_old)
        os.replace(temporary, path)
        with suppress(OSError):  # the file is there already
            _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _keep(path: Path, kept: Path) -> None:
    """Give the file at `path` the name `kept` too; without links that is its only name then."""
    spare = kept.with_name(f".{kept.name}.writing")
    try:
        spare.unlink(missing_ok=True)
        os.link(path, spare)
        os.replace(spare, kept)
    except OSError:
        spare.unlink(missing_ok=True)
        os.replace(path, kept)


def _flush(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder.

    Raises:
        OSError: What was written is lost. Network shares tell only now that they are full.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        # Some file systems cannot wait, for folders above all; then nothing better can be done.
        if error.errno in _LOST:
            raise
