"""Finding image files: folders, lists, globs and text files of paths. Imports nothing heavy."""

from __future__ import annotations

import glob
import heapq
import logging
import os
import stat
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from lightly_core.data.endings import (
    LIST_SUFFIXES,
    SPECIAL,
    endings,
    image_suffixes,
    is_image_name,
    suffix,
    what_to_install,
)
from lightly_core.data.names import shown
from lightly_core.data.packed import packed, unpacked
from lightly_core.errors import DataError
from lightly_core.progress import Task, progress, tracked

logger = logging.getLogger(__name__)

_MAC_ARCHIVE_FOLDER = "__MACOSX"
_SHOWN = 5
#: Entries of a folder between two updates of the progress.
_ENTRIES = 4096


@dataclass
class Listing:
    """Image files found.

    Attributes:
        root: Absolute folder that the names are relative to; empty if there is no common folder.
        names: Relative paths with ``/``, sorted by code point, as `packed` returns them.
        others: Number of files found that are not images, by their ending.
    """

    root: str
    names: bytes
    others: Counter[str] = field(default_factory=Counter)


def is_glob(path: str) -> bool:
    """Return whether a path is a pattern; a path that exists literally is not."""
    return glob.has_magic(path) and not os.path.lexists(path)


def why_not_opened(path: str | os.PathLike[str]) -> str | None:
    """Return why a path must not be opened, or None. Reading a pipe or device may never end.

    Raises:
        OSError: The path does not exist, or access is denied.
    """
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        return "is a folder"
    if not stat.S_ISREG(status.st_mode):
        return "a pipe or device, not a file"
    # Virtual files of the system also have size 0, and reading some of them never ends.
    return "empty file" if status.st_size == 0 else None


def list_folder(root: str, known: frozenset[str] | None = None, *, what: str = "images") -> Listing:
    """Find all images below a folder, or files with other endings.

    Names that begin with a dot and ``__MACOSX`` are skipped. Links to folders are followed after
    all real folders, and no folder is visited twice, so cycles of links end. The order depends
    only on the names, not on the file system or the locale.

    Args:
        root: Existing folder.
        known: Endings of the files, in lower case; None: those of images.
        what: What the files are, for the progress.

    Returns:
        Names relative to `root`.
    """
    walk = _Walk(root, image_suffixes() if known is None else known)
    pending, links = [""], list[str]()
    with progress(f"Searching for {what}", unit="files") as task:
        while pending or links:
            folder = pending.pop() if pending else heapq.heappop(links)
            found = walk.read(folder, task)
            pending += found.folders
            for link in found.links:
                heapq.heappush(links, link)
    walk.report()
    return Listing(os.path.abspath(root), walk.names(), walk.others)


@dataclass
class _Folder:
    """What is directly in a folder: names of its images, paths of other folders from the root."""

    images: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


class _Walk:
    """State of the search through a folder.

    Args:
        root: The folder.
        known: Endings of the files that are searched, in lower case.
    """

    def __init__(self, root: str, known: frozenset[str]) -> None:
        self.others: Counter[str] = Counter()
        self._known = known
        self._root = root
        self._runs: list[bytes] = []
        self._visited: set[tuple[int, int]] = set()
        self._closed: list[str] = []
        self._repeated: list[str] = []

    def read(self, folder: str, task: Task) -> _Folder:
        """Read one folder.

        Args:
            folder: Its path from the root, "" for the root.
            task: Is advanced by the number of entries.
        """
        entries = self._entries(folder)
        found = _Folder()
        inside = f"{folder}/" if folder else ""
        for start in range(0, len(entries), _ENTRIES):
            part = entries[start : start + _ENTRIES]
            for entry in self._unusual(part, found.images):
                kind = self._kind(entry)
                if kind == "image":
                    found.images.append(entry.name)
                elif kind:
                    paths = found.folders if kind == "folder" else found.links
                    paths.append(f"{inside}{entry.name}")
            task.advance(len(part))
        self._keep(inside, found)
        return found

    def names(self) -> bytes:
        """Return the names of all images found so far, sorted, as `packed` returns them."""
        return b"".join(sorted(self._runs))

    def _keep(self, inside: str, found: _Folder) -> None:
        """Keep the names of a folder's images as runs between which no other name sorts."""
        images = sorted(found.images)
        # The paths below a folder share its path with "/". Only they can sort between two images.
        below = (f"{path[len(inside) :]}/" for path in (*found.folders, *found.links))
        cuts = sorted({0, len(images), *(bisect_left(images, path) for path in below)})
        for start, stop in pairwise(cuts):
            # One join for each run, which takes less time than a text for each name.
            run = f"\0{inside}".join(images[start:stop])
            self._runs.append(packed([f"{inside}{run}"]))

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        """Return the entries of a folder; none if it was visited before or cannot be read."""
        where = os.path.join(self._root, folder)
        try:
            status = os.stat(where)
            identity = (status.st_dev, status.st_ino)
            if identity in self._visited:
                self._repeated.append(where)
                return []
            with os.scandir(where) as found:
                entries = list(found)
        except OSError as error:
            self._closed.append(f"'{where}' ({error.strerror})")
            return []
        self._visited.add(identity)
        return entries

    def _unusual(
        self, entries: Iterable[os.DirEntry[str]], images: list[str]
    ) -> list[os.DirEntry[str]]:
        """Add plain files with an image's ending to `images`, and return all other entries.

        Nearly all entries of a large data set are such files. This loop takes a third of the time
        of `_kind`.
        """
        known = self._known | {ending.upper() for ending in self._known}
        others = []
        for entry in entries:
            name = entry.name
            try:
                plain = (
                    name[name.rfind(".") :] in known
                    and name[0] != "."
                    and entry.is_file(follow_symlinks=False)
                )
            except OSError:  # `_kind` reports it
                plain = False
            if plain:
                images.append(name)
            else:
                others.append(entry)
        return others

    def _kind(self, entry: os.DirEntry[str]) -> str:
        """Return ``folder``, ``link`` to one, ``image``, or "" and count the file."""
        if entry.name.startswith(".") or entry.name == _MAC_ARCHIVE_FOLDER:
            return ""
        try:
            if entry.is_dir():
                return "link" if entry.is_symlink() else "folder"
            # Opening a pipe or a device could block forever. A broken link counts as an image, so
            # that it is reported as unreadable.
            special = not entry.is_file() and os.path.exists(entry.path)
        except OSError as error:  # the target of a link may not be accessible
            self._closed.append(f"'{entry.path}' ({error.strerror})")
            return ""
        if suffix(entry.name) in self._known and not special:
            return "image"
        self.others[SPECIAL if special else suffix(entry.name)] += 1
        return ""

    def report(self) -> None:
        """Warn about folders that were not read, with one sentence per kind."""
        if self._closed:
            logger.warning("Skipped because they cannot be read: %s", some(self._closed))
        if self._repeated:
            links = "a link" if len(self._repeated) == 1 else "links"
            folders = some([f"'{where}'" for where in self._repeated])
            logger.warning("Skipped: %s, %s to folders that are already read", folders, links)


def list_elements(elements: Sequence[str]) -> Listing:
    """Find the images of several folders, files, globs and text files of paths.

    A file that is found twice counts once, with a warning.

    Raises:
        DataError: A file is missing or is not an image.
    """
    others: Counter[str] = Counter()
    found = [sorted(set(_element_files(os.path.expanduser(path), others))) for path in elements]
    files = found[0] if len(found) == 1 else sorted(set[str]().union(*found))
    repeated = sum(map(len, found)) - len(files)
    if repeated:
        logger.warning("%d images are named more than once and count once", repeated)
    root = _common_folder(files)
    cut = len(root.rstrip("/")) + 1 if root else 0
    return Listing(root, packed(path[cut:] for path in files), others)


def read_path_list(path: str) -> list[str]:
    """Read a text file with one path per line.

    Blank lines and lines that begin with ``#`` are ignored.

    Returns:
        The paths; relative ones are resolved against the folder of the text file.

    Raises:
        DataError: The file is not a UTF-8 text, or cannot be read.
    """
    folder = os.path.dirname(os.path.abspath(path))
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.strip() for line in file]
    except UnicodeDecodeError as error:
        raise DataError(f"'{shown(path)}' is not a UTF-8 text file: {error.reason}") from error
    except OSError as error:
        raise DataError(f"'{shown(path)}' cannot be read: {error.strerror}") from error
    return [
        os.path.join(folder, os.path.expanduser(line) if line[0] == "~" else line)
        for line in lines
        if line and line[0] != "#"
    ]


def some(texts: Sequence[str]) -> str:
    """Join the first few texts, escaped by `shown`, and count the rest."""
    more = len(texts) - _SHOWN
    return ", ".join(map(shown, texts[:_SHOWN])) + (f" and {more} more" if more > 0 else "")


def _element_files(element: str, others: Counter[str]) -> Iterator[str]:
    """Yield the absolute paths, with ``/``, of the images of one element of a list."""
    if is_glob(element):
        yield from _glob_files(element, others)
    elif os.path.isdir(element):
        yield from _folder_files(element, others)
    elif suffix(element) in LIST_SUFFIXES:
        yield from _listed_files(element, others)
    else:
        yield from _image_files([element], "data")


def _listed_files(file: str, others: Counter[str]) -> Iterator[str]:
    """Yield the images that a text file names, and those below the folders that it names."""
    lines = read_path_list(file)
    missing, folders, files = list[str](), list[str](), list[str]()
    for line in tracked(lines, "Looking for the listed files", len(lines), unit="files"):
        try:
            kept = folders if stat.S_ISDIR(os.stat(line).st_mode) else files
        except (OSError, ValueError):
            kept = missing
        kept.append(line)
    if missing:
        raise DataError(
            f"{len(missing)} of the {len(lines)} paths in '{shown(file)}' do not exist: "
            f"{some(missing)}; expected one path per line, relative "
            "ones relative to that file"
        )
    for folder in folders:
        yield from _folder_files(folder, others)
    yield from _image_files(files, f"'{shown(file)}'")


def _glob_files(pattern: str, others: Counter[str]) -> Iterator[str]:
    """Yield the images among a pattern's matches, and those below the folders it matches."""
    walked = ""
    for match in sorted(glob.glob(pattern, recursive=True)):
        if os.path.isdir(match):
            inside = os.path.join(match, "")  # ends with a separator
            if not walked or not inside.startswith(walked):
                walked = inside
                yield from _folder_files(match, others)
        elif os.path.exists(match) and not os.path.isfile(match):
            others[SPECIAL] += 1
        elif is_image_name(match):
            yield from _image_files([match], f"'{shown(pattern)}'")
        else:
            others[suffix(match)] += 1


def _folder_files(folder: str, others: Counter[str]) -> Iterator[str]:
    listing = list_folder(os.path.realpath(folder))
    others.update(listing.others)
    root = _with_slashes(listing.root).rstrip("/")
    return (f"{root}/{name}" for name in unpacked(listing.names))


def _image_files(paths: Sequence[str], origin: str) -> Iterator[str]:
    """Yield absolute paths in which links to folders are resolved."""
    wrong = [path for path in paths if not is_image_name(path)]
    if wrong:
        raise DataError(
            f"{origin} names {len(wrong)} file(s) that are not images: "
            f"{some(wrong)}; expected endings {endings()}"
            f"{what_to_install(wrong)}"
        )
    resolved: dict[str, str] = {}  # few folders, many files
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in resolved:
            resolved[folder] = _with_slashes(os.path.realpath(folder)).rstrip("/")
        yield f"{resolved[folder]}/{name}"


def _common_folder(files: Sequence[str]) -> str:
    """Return the folder that holds all of some sorted paths; "" if there is none."""
    if not files:
        return ""
    # What the first and the last of the sorted paths share, all paths between them share too.
    folders = {path.rpartition("/")[0] or "/" for path in (files[0], files[-1])}
    try:
        return _with_slashes(os.path.commonpath(folders))
    except ValueError:  # several drives of Windows
        return ""


def _with_slashes(path: str) -> str:
    return path.replace(os.sep, "/")
