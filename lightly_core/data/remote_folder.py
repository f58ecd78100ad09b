"""Images behind URLs: folders, patterns, lists and single files of any file system of fsspec."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lightly_core.config.options.remote_data import RemoteDataArgs
from lightly_core.contracts.source import ExampleImage, ImageRequest, SourceLibrary
from lightly_core.data.encoded import EncodedSource
from lightly_core.data.endings import (
    LIST_SUFFIXES,
    counted,
    endings,
    is_image_name,
    skipped_files,
    suffix,
)
from lightly_core.data.file_cache import BoundedCache
from lightly_core.data.folder import FolderSource
from lightly_core.data.names import shown
from lightly_core.data.packed import common_folder, packed
from lightly_core.data.paths import Listing
from lightly_core.data.remote import file_system, file_version, tried
from lightly_core.errors import DataError
from lightly_core.progress import working

logger = logging.getLogger(__name__)

_MAGIC = "*["


class RemoteFolder(EncodedSource, FolderSource):
    """Image files behind URLs, sorted by name.

    Args:
        listing: The files; the root is a path of the file system.
        url: A URL of the file system, by which each process builds its own.
        versions: A number for each file that changes when the file does, (N,) uint64.
        options: Options of the source.
        request: How images are decoded.
        class_folders: Whether the folders directly below the root are classes.
    """

    on_this_machine = False

    def __init__(
        self,
        listing: Listing,
        url: str,
        versions: npt.NDArray[np.uint64],
        options: RemoteDataArgs,
        request: ImageRequest,
        *,
        class_folders: bool,
    ) -> None:
        super().__init__(listing, request, class_folders=class_folders)
        self.url = url
        self._versions = versions
        limit = int(options.cache_size * 2**30)
        self._cache = BoundedCache("images", limit) if limit else None

    def path(self, index: int) -> str:
        """Return the path in the file system."""
        return f"{self.root}{self.name(index)}"

    def read(self, index: int) -> bytes:
        """Return the content of a file, from the cache if it is there."""
        path = self.path(index)
        if self._cache is None:
            return self._read(path)
        key = f"{self.url.partition('://')[0]} {path} {self._versions[index]}"
        with self._cache.open(key, lambda to: _write(to, self._read(path))) as file:
            return file.read()

    def _read(self, path: str) -> bytes:
        system, _ = file_system(self.url)
        data: bytes = tried(lambda: system.cat_file(path))
        return data


class RemoteLibrary(SourceLibrary):
    """Lists images behind URLs."""

    def open(
        self, places: Sequence[str], options: RemoteDataArgs, request: ImageRequest
    ) -> RemoteFolder:
        """List the images.

        Raises:
            DataError: A place does not exist or cannot be reached, or there is no image.
        """
        found: dict[str, int] = {}
        others: Counter[str] = Counter()
        with working("Listing images"):
            for place in places:
                found.update(_listed(place, others))
        if not found:
            seen = f"{others.total()} other files ({counted(others)})" if others else "no files"
            raise DataError(
                f"no images in '{shown(places[0])}': found {seen}; expected endings {endings()}"
            )
        if others:
            logger.info("%s", skipped_files(others))
        paths = sorted(found)
        root = _root(places, paths)
        listing = Listing(root, packed(path[len(root) :] for path in paths), others)
        versions = np.asarray([found[path] for path in paths], np.uint64)
        folder = len(places) == 1 and _is_folder(places[0])
        return RemoteFolder(listing, places[0], versions, options, request, class_folders=folder)

    def example(self, folder: Path, images: Sequence[ExampleImage]) -> str:
        """Write a folder of this machine."""
        for image in images:
            path = folder / image.name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(image.data)
        return f"{folder.as_uri()}?cache_size=0.001"


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _is_folder(place: str) -> bool:
    has_magic = any(sign in place for sign in _MAGIC)
    return not (has_magic or is_image_name(place) or suffix(place) in LIST_SUFFIXES)


def _root(places: Sequence[str], paths: Sequence[str]) -> str:
    """Return the folder that names are relative to, with its last slash."""
    if len(places) == 1 and _is_folder(places[0]):
        folder = str(file_system(places[0])[1]).rstrip("/") + "/"
        if all(path.startswith(folder) for path in paths):
            return folder
    return common_folder(paths)


def _listed(place: str, others: Counter[str]) -> Iterator[tuple[str, int]]:
    """Yield the path and the version of each image of a place, and count other files.

    Raises:
        DataError: The place does not exist or cannot be reached.
    """
    try:
        system, path = file_system(place)
        if suffix(place) in LIST_SUFFIXES:
            yield from _of_list(place, tried(lambda: system.cat_file(path)))
            return
        facts: Mapping[str, Mapping[str, Any]]
        if any(sign in place for sign in _MAGIC):
            facts = tried(lambda: system.glob(path, detail=True))
        elif is_image_name(place):
            facts = {path: tried(lambda: system.info(path))}
        else:
            facts = tried(lambda: system.find(path, detail=True))
            if not facts and not tried(lambda: system.exists(path)):
                raise FileNotFoundError(path)
    except Exception as error:  # each file system has its own errors
        reason = " ".join(str(error).split())[:300]
        missing = isinstance(error, FileNotFoundError)
        why = "does not exist" if missing else f"cannot be read: {type(error).__name__}: {reason}"
        raise DataError(f"'{shown(place)}' {why}; check the URL and the account") from error
    magic = [path.find(sign) for sign in _MAGIC if sign in path]
    start = min(magic, default=len(path.rstrip("/")))  # folders above may have any name
    for name, known in facts.items():
        parts = name[start:].split("/")
        if known.get("type") == "directory" or any(part[:1] == "." for part in parts):
            continue
        if is_image_name(name):
            yield name, _number(file_version(known))
        else:
            others[suffix(name)] += 1


def _of_list(place: str, content: bytes) -> Iterator[tuple[str, int]]:
    folder = place.rpartition("/")[0]
    for line in content.decode("utf-8-sig").splitlines():
        text = line.strip()
        if text and not text.startswith("#"):
            url = text if "://" in text else f"{folder}/{text}"
            yield str(file_system(url)[1]), 0


def _number(version: str) -> int:
    return int.from_bytes(hashlib.sha256(version.encode()).digest()[:8], "little")
