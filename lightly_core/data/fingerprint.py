"""Telling whether two runs have the same images, without reading all of them."""

from __future__ import annotations

import hashlib
import os

import numpy as np

from lightly_core.data.base import ImageSource
from lightly_core.data.dataset import load_or_reason
from lightly_core.data.folder import FolderSource
from lightly_core.errors import DataError

#: Of images that are no files, so many are compared.
_NUM_LOADED = 16


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
    for index in np.unique(np.linspace(0, len(source) - 1, _NUM_LOADED).astype(int)).tolist():
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
