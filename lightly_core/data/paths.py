"""Finding image files: folders, lists, globs and text files of paths. Imports nothing heavy."""

from __future__ import annotations

import glob
import heapq
import logging
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from lightly_core.data.endings import (
    LIST_SUFFIXES,
    SPECIAL,
    endings,
    is_image_name,
    suffix,
    what_to_install,
)
from lightly_core.data.names import shown
from lightly_core.errors import DataError
from lightly_core.progress import progress

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
        names: Relative paths with ``/``, UTF-8, sorted by code point.
        others: Number of files found that are not images, by their ending.
    """

    root: str
    names: list[bytes]
    others: Counter[str] = field(default_factory=Counter)


def is_glob(path: str) -> bool:
    """Return whether a path is a pattern; a path that exists literally is not."""
    return glob.has_magic(path) and not os.path.lexists(path)


def encode(name: str) -> bytes:
    """Return a file name as bytes that sort like its code points, undecodable parts included."""
    return name.encode("utf-8", "surrogatepass")


def decode_name(name: bytes) -> str:
    """Undo `encode`."""
    return name.decode("utf-8", "surrogatepass")


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


def list_folder(root: str) -> Listing:
    """Find all images below a folder.

    Names that begin with a dot and ``__MACOSX`` are skipped. Links to folders are followed after
    all real folders, and no folder is visited twice, so cycles of links end. The order depends
    only on the names, not on the file system or the locale.

    Args:
        root: Existing folder.

    Returns:
        Names relative to `root`.
    """
    walk = _Walk(root)
    pending, links = [""], list[str]()
    with progress("Searching for images", unit="files") as task:
        while pending or links:
            folder = pending.pop() if pending else heapq.heappop(links)
            entries = walk.entries(folder)
            for start in range(0, len(entries), _ENTRIES):
                part = entries[start : start + _ENTRIES]
                for entry in part:
                    name = f"{folder}/{entry.name}" if folder else entry.name
                    kind = walk.kind(entry)
                    if kind == "folder":
                        pending.append(name)
                    elif kind == "link":
                        heapq.heappush(links, name)
                    elif kind == "image":
                        walk.names.append(encode(name))
                task.advance(len(part))
    walk.report()
    return Listing(os.path.abspath(root), sorted(walk.names), walk.others)


class _Walk:
    """State of the search through a folder.

    Args:
        root: The folder.
    """

    def __init__(self, root: str) -> None:
        self.names: list[bytes] = []
        self.others: Counter[str] = Counter()
        self._root = root
        self._visited: set[tuple[int, int]] = set()
        self._closed: list[str] = []
        self._repeated: list[str] = []

    def entries(self, folder: str) -> list[os.DirEntry[str]]:
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

    def kind(self, entry: os.DirEntry[str]) -> str:
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
        if is_image_name(entry.name) and not special:
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
    found: set[bytes] = set()
    others: Counter[str] = Counter()
    total = 0
    for element in elements:
        files = set(_element_files(os.path.expanduser(element), others))
        total += len(files)
        found |= files
    if total > len(found):
        logger.warning("%d images are named more than once and count once", total - len(found))
    root = _common_folder(found)
    cut = len(encode(root.rstrip("/"))) + 1 if root else 0
    return Listing(root, sorted(path[cut:] for path in found), others)


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
        os.path.join(folder, os.path.expanduser(line))
        for line in lines
        if line and not line.startswith("#")
    ]


def some(texts: Sequence[str]) -> str:
    """Join the first few texts, escaped by `shown`, and count the rest."""
    more = len(texts) - _SHOWN
    return ", ".join(map(shown, texts[:_SHOWN])) + (f" and {more} more" if more > 0 else "")


def _element_files(element: str, others: Counter[str]) -> Iterator[bytes]:
    """Yield the absolute paths, with ``/``, of the images of one element of a list."""
    if is_glob(element):
        yield from _glob_files(element, others)
    elif os.path.isdir(element):
        yield from _folder_files(element, others)
    elif suffix(element) in LIST_SUFFIXES:
        lines = read_path_list(element)
        missing = [line for line in lines if not os.path.exists(line)]
        if missing:
            raise DataError(
                f"{len(missing)} of the {len(lines)} paths in '{shown(element)}' do not exist: "
                f"{some(missing)}; expected one path per line, relative "
                "ones relative to that file"
            )
        folders = [line for line in lines if os.path.isdir(line)]
        for folder in folders:
            yield from _folder_files(folder, others)
        yield from _image_files(sorted(set(lines) - set(folders)), f"'{shown(element)}'")
    else:
        yield from _image_files([element], "data")


def _glob_files(pattern: str, others: Counter[str]) -> Iterator[bytes]:
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


def _folder_files(folder: str, others: Counter[str]) -> Iterator[bytes]:
    listing = list_folder(os.path.realpath(folder))
    others.update(listing.others)
    root = encode(_with_slashes(listing.root).rstrip("/"))
    return (root + b"/" + name for name in listing.names)


def _image_files(paths: Sequence[str], origin: str) -> Iterator[bytes]:
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
        yield encode(f"{resolved[folder]}/{name}")


def _common_folder(files: set[bytes]) -> str:
    folders = {decode_name(path.rpartition(b"/")[0]) or "/" for path in files}
    try:
        return _with_slashes(os.path.commonpath(folders)) if folders else ""
    except ValueError:  # several drives of Windows
        return ""


def _with_slashes(path: str) -> str:
    return path.replace(os.sep, "/")
