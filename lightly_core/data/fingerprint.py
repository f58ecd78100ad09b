"""Checks whether two runs have the same images, without reading all of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TypeGuard

import numpy as np

from lightly_core.data.base import ImageSource
from lightly_core.data.folder import FolderSource
from lightly_core.data.loading import load_or_reason
from lightly_core.data.paths import why_not_opened
from lightly_core.errors import DataError
from lightly_core.progress import tracked

#: Images that are compared if they do not come from files.
_NUM_LOADED = 16
#: Files, at even distances, whose size is compared, and files whose content is compared.
_NUM_SIZES, _NUM_CONTENTS = 20_000, 256
#: Bytes at the start and at the end of a file that count as its content.
_PART = 2**20


def fingerprint(source: ImageSource) -> str:
    """Return a short text that identifies a set of images.

    For files it is computed from their names, sizes and modification times in seconds. The path
    of their folder does not matter. For other images, such as a dataset in Python, it is computed
    from their number, their names and the content of 16 of them, chosen at even distances.

    Raises:
        DataError: An image changes when it is loaded again.
    """
    if _is_local(source):
        return f"{len(source)} files, {_files_digest(source)}"
    return f"{len(source)} images, {_content_digest(source)}"


def contents(source: ImageSource) -> dict[str, str]:
    """Return digests by which a resumed run checks that its images are the same.

    The paths of folders and the modification times of files do not matter.

    Returns:
        A digest of the ``names``. For files also one of the ``sizes`` of up to 20,000 files and
        one of the ``content``, the first and last MiB of up to 256 files. For other images the
        ``content`` is that of 16 images. All are chosen at even distances. A source that orders
        its images itself also has one of their ``order``.
    """
    names = hashlib.sha256()
    if not _is_local(source):
        for index in range(len(source)):
            names.update(source.name(index).encode("utf-8", "surrogatepass") + b"\0")
        order = source.order(0, 0)
        own = {} if order is None else {"order": hashlib.sha256(order.tobytes()).hexdigest()[:16]}
        return {"names": names.hexdigest()[:16], "content": _content_once(source), **own}
    for part in source.packed_names():
        names.update(part)
    sizes, content = hashlib.sha256(), hashlib.sha256()
    chosen = _evenly_spaced(len(source), _NUM_SIZES)
    for index in tracked(chosen, "Checking the sizes of images", len(chosen), unit="files"):
        sizes.update(f"{_size(source.path(index))} ".encode())
    chosen = _evenly_spaced(len(source), _NUM_CONTENTS)
    for index in tracked(chosen, "Checking the content of images", len(chosen), unit="files"):
        content.update(_ends_of_file(source.path(index)))
    return {
        "names": names.hexdigest()[:16],
        "sizes": sizes.hexdigest()[:16],
        "content": content.hexdigest()[:16],
    }


def changes(old: Mapping[str, str], source: ImageSource) -> list[str]:
    """Describe how images differ from those that `contents` was computed from.

    Args:
        old: What `contents` returned.
        source: The current images; their number must not have changed.
    """
    new = contents(source)
    of_files = "sizes" in old and "sizes" in new
    if not of_files and old.get("content") != new["content"] and not _stable(source):
        return []  # the images are random, so they cannot be compared
    words = {
        "names": "the names of images have changed",
        "sizes": "the sizes of files have changed",
        "content": "the content of images has changed",
    }
    found = [text for key, text in words.items() if key in old and old[key] != new.get(key)]
    if old.get("order") != new.get("order"):
        found.append("the order in which images are read has changed, by an option of the source")
    return found[:1]


def _is_local(source: ImageSource) -> TypeGuard[FolderSource]:
    return isinstance(source, FolderSource) and source.on_this_machine


def _evenly_spaced(total: int, wanted: int) -> list[int]:
    """Return at most `wanted` positions of `total`, at even distances."""
    if total <= wanted:
        return list(range(total))
    positions: list[int] = np.unique(np.linspace(0, total - 1, wanted).astype(int)).tolist()
    return positions


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def _ends_of_file(path: str) -> bytes:
    """Return the sha256 of a small file, of the first and last MiB of a larger one."""
    digest = hashlib.sha256()
    try:
        if why_not_opened(path) is not None:
            return digest.digest()
        with open(path, "rb") as file:
            digest.update(file.read(_PART))
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - _PART, min(size, _PART)))
            digest.update(file.read(_PART))
    except OSError:
        digest.update(b"missing")
    return digest.digest()


def _content_once(source: ImageSource) -> str:
    digest = hashlib.sha256()
    for index in _evenly_spaced(len(source), _NUM_LOADED):
        digest.update(_content(source, index))
    return digest.hexdigest()[:16]


def _stable(source: ImageSource) -> bool:
    return _content_once(source) == _content_once(source)


def _files_digest(source: FolderSource) -> str:
    digest = hashlib.sha256()
    for index in range(len(source)):
        digest.update(source.name(index).encode("utf-8", "surrogatepass"))
        try:
            status = os.stat(source.path(index))
            digest.update(f"\0{status.st_size} {int(status.st_mtime)}\0".encode())
        except OSError:
            digest.update(b"\0missing\0")
    return digest.hexdigest()[:16]


def _content_digest(source: ImageSource) -> str:
    digest = hashlib.sha256()
    for index in _evenly_spaced(len(source), _NUM_LOADED):
        content = _content(source, index)
        if content != _content(source, index):
            raise DataError(
                f"{source.name(index)} changes each time it is loaded, so its features cannot be "
                "cached; remove the random transforms from the dataset and use transform_args "
                "instead, or do not cache features"
            )
        digest.update(source.name(index).encode() + b"\0" + content)
    return digest.hexdigest()[:16]


def _content(source: ImageSource, index: int) -> bytes:
    with suppress(Exception):  # what cannot be read is described below
        if (data := source.read(index)) is not None:
            return hashlib.sha256(data).digest()
    loaded = load_or_reason(source, index)
    if isinstance(loaded, str):
        return loaded.encode()
    pixels = np.ascontiguousarray(loaded)
    return f"{pixels.shape} {pixels.dtype}".encode() + hashlib.sha256(pixels.data).digest()
