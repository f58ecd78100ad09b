"""Telling whether two runs have the same images, without reading all of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

import numpy as np

from lightly_core.data.base import ImageSource
from lightly_core.data.dataset import load_or_reason
from lightly_core.data.folder import FolderSource
from lightly_core.data.paths import why_not_opened
from lightly_core.errors import DataError

#: Of images that are no files, so many are compared.
_NUM_LOADED = 16
#: Of so many files, spread evenly, the size is looked at, and of so many the content.
_NUM_SIZES, _NUM_CONTENTS = 20_000, 256
#: Bytes at the start and at the end of a file that count as its content.
_PART = 2**20


def fingerprint(source: ImageSource) -> str:
    """Return a short text that is equal for equal images, and practically never for others.

    Of files it follows from their names, sizes and times of change in seconds, not from where
    their folder is. Of others, such as a dataset in Python, from their number, their names and
    the pixels of 16 of them, spread evenly.

    Raises:
        DataError: An image is another one when it is loaded again.
    """
    if isinstance(source, FolderSource):
        return f"{len(source)} files, {_of_files(source)}"
    return f"{len(source)} images, {_of_pixels(source)}"


def contents(source: ImageSource) -> dict[str, str]:
    """Describe images such that a run that goes on can tell whether it has the same ones.

    Neither where files lie nor when they were changed matters.

    Returns:
        Texts by what they tell: ``names``; of files the ``sizes`` of up to 20,000, and as
        ``content`` the first and last MiB of up to 256; of others the pixels of 16. The chosen
        ones are spread evenly.
    """
    names = hashlib.sha256()
    if not isinstance(source, FolderSource):
        for index in range(len(source)):
            names.update(source.name(index).encode("utf-8", "surrogatepass") + b"\0")
        return {"names": names.hexdigest()[:16], "content": _pixels_once(source)}
    for part in source.packed_names():
        names.update(part)
    sizes, content = hashlib.sha256(), hashlib.sha256()
    for index in _spread(len(source), _NUM_SIZES):
        sizes.update(f"{_size(source.path(index))} ".encode())
    for index in _spread(len(source), _NUM_CONTENTS):
        content.update(_ends_of_file(source.path(index)))
    return {
        "names": names.hexdigest()[:16],
        "sizes": sizes.hexdigest()[:16],
        "content": content.hexdigest()[:16],
    }


def changes(old: Mapping[str, str], source: ImageSource) -> list[str]:
    """Say in what images differ from those that `contents` described, in a few words each.

    Args:
        old: What `contents` returned.
        source: The images of now, as many as then.
    """
    new = contents(source)
    of_files = "sizes" in old and "sizes" in new
    if not of_files and old.get("content") != new["content"] and not _stable(source):
        return []  # they differ each time, so nothing can be told
    words = {
        "names": "the names of images have changed",
        "sizes": "files have other sizes than they had",
        "content": "images have another content than they had",
    }
    return [text for key, text in words.items() if key in old and old[key] != new.get(key)][:1]


def _spread(total: int, wanted: int) -> list[int]:
    """Return at most `wanted` positions of `total`, spread evenly; all where there are fewer."""
    if total <= wanted:
        return list(range(total))
    spread: list[int] = np.unique(np.linspace(0, total - 1, wanted).astype(int)).tolist()
    return spread


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


def _pixels_once(source: ImageSource) -> str:
    digest = hashlib.sha256()
    for index in _spread(len(source), _NUM_LOADED):
        digest.update(_content(source, index))
    return digest.hexdigest()[:16]


def _stable(source: ImageSource) -> bool:
    return _pixels_once(source) == _pixels_once(source)


def _of_files(source: FolderSource) -> str:
    digest = hashlib.sha256()
    for index in range(len(source)):
        digest.update(source.name(index).encode("utf-8", "surrogatepass"))
        try:
            status = os.stat(source.path(index))
            digest.update(f"\0{status.st_size} {int(status.st_mtime)}\0".encode())
        except OSError:
            digest.update(b"\0missing\0")
    return digest.hexdigest()[:16]


def _of_pixels(source: ImageSource) -> str:
    digest = hashlib.sha256()
    for index in _spread(len(source), _NUM_LOADED):
        content = _content(source, index)
        if content != _content(source, index):
            raise DataError(
                f"{source.name(index)} is another image each time it is asked for, but features of "
                "images are to be kept and used again; take the random transforms out of the "
                "dataset, for which there are transform_args, or keep no features"
            )
        digest.update(source.name(index).encode() + b"\0" + content)
    return digest.hexdigest()[:16]


def _content(source: ImageSource, index: int) -> bytes:
    loaded = load_or_reason(source, index)
    if isinstance(loaded, str):
        return loaded.encode()
    pixels = np.ascontiguousarray(loaded)
    return f"{pixels.shape} {pixels.dtype}".encode() + hashlib.sha256(pixels.data).digest()
