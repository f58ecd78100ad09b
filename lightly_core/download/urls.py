"""Parse URLs, and separate secrets from what messages may show."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import SplitResult, quote, unquote, urlsplit
from urllib.request import url2pathname

from lightly_core.errors import ConfigError

# With these suffixes the path alone names a file. With others the query counts too.
_FILE_ENDINGS = frozenset(
    {
        *(".pt", ".pth", ".th", ".ckpt", ".safetensors", ".bin", ".pkl", ".pickle"),
        *(".npz", ".npy", ".onnx", ".tar", ".gz", ".tgz", ".zip", ".json", ".yaml"),
    }
)

_MAX_NAME = 150  # file systems take 255 bytes, and we add to it


@dataclass(frozen=True)
class RemoteFile:
    """The parts of a URL. Secrets are not in its `repr`.

    Attributes:
        url: The URL to request, with the query, without user and password.
        authorization: Value of the header with user and password; None without.
        shown: For messages: without user, password, query and fragment.
        host: For messages; empty for ``file://``.
        name: File name.
        identity: Equal for URLs of one file; kept in the cache.
        local: The file that a ``file://`` URL names; None for others.
        has_query: Whether the URL has a query, as signed ones have.
    """

    url: str = field(repr=False)
    authorization: str | None = field(repr=False)
    shown: str
    host: str
    name: str
    identity: str
    local: Path | None
    has_query: bool

    @property
    def place(self) -> str:
        """Where the file comes from, for messages."""
        return self.host or "this machine"


def is_url(text: str) -> bool:
    """Return whether a text is a URL. A path that begins with a drive letter is not."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://|file:", text) is not None


def parse_url(text: str, what: str) -> RemoteFile:
    """Parse a URL.

    Args:
        text: The URL.
        what: For messages.

    Raises:
        ConfigError: It is not a URL of a file that can be downloaded.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        # The error and its message quote what may be a password.
        raise ConfigError(
            f"{what}: cannot understand the URL\n  special characters in user names and passwords "
            "have to be written in percent form, such as %2F for /"
        ) from None
    if parts.scheme not in ("http", "https", "file"):
        raise ConfigError(
            f"{what}: cannot fetch {parts.scheme}:// URLs, only https://, http:// and file://"
            "\n  download the file yourself and give its path"
        )
    host = parts.hostname or ""
    if not host and parts.scheme != "file":
        raise ConfigError(f"{what}: the URL has no host, expected https://host/path/of/file")
    if parts.scheme == "file" and host not in ("", "localhost"):
        raise ConfigError(
            f"{what}: the URL names a file on {host}"
            "\n  a file of this machine is written file:///path, with three slashes"
        )
    if ":" in host:
        host = f"[{host}]"
    if port is not None:
        host = f"{host}:{port}"
    path = quote(parts.path, safe="/%~!$&'()*+,;=:@-._")
    query = quote(parts.query, safe="/%?~!$&'()*+,;=:@-._")
    shown = f"{parts.scheme}://{host}{path}"
    return RemoteFile(
        url=f"{shown}?{query}" if query else shown,
        authorization=_authorization(parts),
        shown=shown,
        host=host,
        name=_file_name(parts.path),
        identity=shown + _query_mark(parts),
        local=Path(url2pathname(parts.path)) if parts.scheme == "file" else None,
        has_query=bool(query),
    )


def _query_mark(parts: SplitResult) -> str:
    ending = PurePosixPath(unquote(parts.path)).suffix.lower()
    if not parts.query or ending in _FILE_ENDINGS:
        return ""
    # Not the query itself, which may be secret.
    return "?sha256=" + hashlib.sha256(parts.query.encode()).hexdigest()[:16]


def _authorization(parts: SplitResult) -> str | None:
    if parts.username is None:
        return None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _file_name(path: str) -> str:
    """Return a name that is safe on every file system and does not begin with a dot."""
    last = unquote(path.rstrip("/").rpartition("/")[2])
    name = re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|]', "_", last).lstrip(". ").rstrip(". ")
    if len(name.encode()) > _MAX_NAME:
        # The end has the file's suffix.
        name = name.encode()[-_MAX_NAME:].decode(errors="ignore").lstrip(". ")
    return name or "download"
