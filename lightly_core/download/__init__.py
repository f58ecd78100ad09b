"""Files from paths and URLs: downloaded once, verified, cached.

Standard library and `filelock` only, so that it can be imported anywhere.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from lightly_core.download.cache import FileCache, digest_of
from lightly_core.download.rehearsal import stop_rehearsal
from lightly_core.download.urls import is_url, parse_url
from lightly_core.errors import ConfigError

__all__ = [
    "CACHE_VARIABLE",
    "OFFLINE_VARIABLE",
    "cache_folder",
    "digest_of",
    "fetch",
    "is_url",
    "parse_url",
]

CACHE_VARIABLE = "LIGHTLY_CACHE_DIR"
OFFLINE_VARIABLE = "LIGHTLY_OFFLINE"

# The name in LightlyTrain.
_OLD_CACHE_VARIABLE = "LIGHTLY_TRAIN_CACHE_DIR"


def cache_folder() -> Path:
    """Return where downloads are kept; the folder need not exist.

    Returns:
        The first that is set: ``$LIGHTLY_CACHE_DIR``, ``$LIGHTLY_TRAIN_CACHE_DIR``,
        ``$XDG_CACHE_HOME/lightly``; else ``~/.cache/lightly``.
    """
    for variable in (CACHE_VARIABLE, _OLD_CACHE_VARIABLE):
        if value := os.environ.get(variable):
            return Path(value).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "lightly"


def fetch(source: str | Path, *, sha256: str | None = None, what: str) -> Path:
    """Return a local file: the one that was given, or a download of it.

    A download is kept as ``cache_folder() / "models" / <last part of the URL's path>`` (with a few
    digits in the name where another URL has it) and used again without the network. A file that
    the user put there is used as well. URLs that differ only in the query are the same, since the
    query of signed URLs changes every time. Where the path has no suffix of a weights file, as in
    ``https://host/download?id=1``, the query counts.

    An interrupted download is resumed. Of several processes and threads one downloads, and the
    others wait for it. User names, passwords and queries of URLs are in no message and no file.

    Args:
        source: A path, in which ``~`` is replaced, or a URL that starts with ``http://``,
            ``https://`` or ``file://``.
        sha256: Hex digest of the file or its first 8 or more digits. Downloads are removed when
            they do not have it.
        what: For messages: what the file is, such as ``"weights of dinov2/vits14"``.

    Returns:
        A file that is complete and has the digest.

    Raises:
        ConfigError: There is no such file, it cannot be downloaded (``LIGHTLY_OFFLINE=1`` forbids
            it), or it has another digest. The message states what to do.
    """
    wanted = _checked_digest(sha256, what)
    # In a `Path`, a URL loses one of its slashes.
    if isinstance(source, Path) or not is_url(source):
        return _local_file(Path(source).expanduser(), wanted, what)
    address = parse_url(source, what)
    stop_rehearsal(what)
    offline = os.environ.get(OFFLINE_VARIABLE, "").strip().lower() not in ("", "0", "false", "no")
    cache = FileCache(cache_folder() / "models", offline=offline)
    return cache.get(address, wanted, what)


def _local_file(path: Path, wanted: str | None, what: str) -> Path:
    if not path.is_file():
        problem = f"{path} is a folder" if path.is_dir() else f"there is no file {path}"
        raise ConfigError(f"{what}: {problem}\n  give the path of a file, or a URL")
    if wanted is not None:
        digest = digest_of(path)
        if not digest.startswith(wanted):
            raise ConfigError(
                f"{what}: {path} has the sha256 {digest[: len(wanted)]}, expected {wanted}"
                "\n  it is damaged or another file; download it again"
            )
    return path


def _checked_digest(sha256: str | None, what: str) -> str | None:
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{8,64}", sha256):
        raise ConfigError(
            f"{what}: sha256 must be a hex digest or its first 8 or more digits, got {sha256!r}"
        )
    return sha256 if sha256 is None else sha256.lower()
