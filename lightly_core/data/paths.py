"""Finding image files: folders, lists, globs and text files of paths. Imports nothing heavy."""

from __future__ import annotations

import glob
import heapq
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from lightly_core.errors import DataError

logger = logging.getLogger(__name__)

#: Endings of the files that count as images, in any case. A fixed list, so that a folder holds
#: the same images on every machine, whatever its Pillow can read. GIF counts as its first frame.
IMAGE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff"),
        *(".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif"),
    )
)
#: Endings of text files that hold one path a line.
LIST_SUFFIXES = (".txt", ".csv", ".lst")
_MAC_ARCHIVE_FOLDER = "__MACOSX"
_SHOWN = 5


@dataclass
class Listing:
    """Image files found.

    Attributes:
        root: Absolute folder that the names are relative to; empty where there is none in common.
        names: Relative paths with ``/``, UTF-8, sorted by code point.
        others: How many files of other endings were seen.
    """

    root: str
    names: list[bytes]
    others: Counter[str] = field(default_factory=Counter)


def suffix(path: str) -> str:
    """Return the ending of a file name with its dot, in lower case."""
    return os.path.splitext(path)[1].lower()


def is_glob(path: str) -> bool:
    """Tell whether a path is a pattern; one that exists as it is written is not."""
    return glob.has_magic(path) and not os.path.lexists(path)


def encode(name: str) -> bytes:
    """Return a file name as bytes that sort like its code points, undecodable parts included."""
    return name.encode("utf-8", "surrogatepass")


def decode_name(name: bytes) -> str:
    """Undo `encode`."""
    return name.decode("utf-8", "surrogatepass")


def list_folder(root: str) -> Listing:
    """Find all images below a folder.

    Names that begin with a dot and ``__MACOSX`` are left out. Links to folders are followed after
    all real folders, and no folder is visited twice, so loops end. The order depends on the
    names only, not on the file system or the locale.

    Args:
        root: Existing folder.

    Returns:
        Names relative to `root`.
    """
    names: list[bytes] = []
    others: Counter[str] = Counter()
    visited: set[tuple[int, int]] = set()
    pending, links = [""], list[str]()
    while pending or links:
        folder = pending.pop() if pending else heapq.heappop(links)
        where = os.path.join(root, folder)
        try:
            status = os.stat(where)
            entries = list(os.scandir(where))
        except OSError as error:
            logger.warning("Folder '%s' is left out: %s", where, error.strerror)
            continue
        identity = (status.st_dev, status.st_ino)
        if identity in visited:
            logger.warning("Folder '%s' is a link to one that is read already; left out", where)
            continue
        visited.add(identity)
        prefix = f"{folder}/" if folder else ""
        for entry in entries:
            if entry.name.startswith(".") or entry.name == _MAC_ARCHIVE_FOLDER:
                continue
            if entry.is_dir():
                if entry.is_symlink():
                    heapq.heappush(links, prefix + entry.name)
                else:
                    pending.append(prefix + entry.name)
            elif suffix(entry.name) not in IMAGE_SUFFIXES:
                others[suffix(entry.name)] += 1
            elif entry.is_file() or not os.path.exists(entry.path):
                # A broken link counts as an image: it is reported as unreadable, not forgotten.
                # Pipes and devices do not count, opening one could wait forever.
                names.append(encode(prefix + entry.name))
    names.sort()
    return Listing(os.path.abspath(root), names, others)


def list_elements(elements: Sequence[str]) -> Listing:
    """Find the images of several folders, files, globs and text files of paths.

    A file that is found twice counts once, with a warning.

    Raises:
        DataError: A file is missing or no image.
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
    """Read a text file with one path a line.

    Blank lines and lines that begin with ``#`` are ignored.

    Returns:
        The paths; relative ones are meant relative to the text file.

    Raises:
        DataError: The file is no UTF-8 text.
    """
    folder = os.path.dirname(os.path.abspath(path))
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.strip() for line in file]
    except UnicodeDecodeError as error:
        raise DataError(f"'{path}' is not a UTF-8 text file: {error.reason}") from error
    return [
        os.path.join(folder, os.path.expanduser(line))
        for line in lines
        if line and not line.startswith("#")
    ]


def some(texts: Sequence[str]) -> str:
    """Join the first few texts and count the rest."""
    more = len(texts) - _SHOWN
    return ", ".join(texts[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _element_files(element: str, others: Counter[str]) -> Iterator[bytes]:
    """Yield the absolute paths, with ``/``, of what one element of a list names."""
    if is_glob(element):
        yield from _glob_files(element, others)
    elif os.path.isdir(element):
        yield from _folder_files(element, others)
    elif suffix(element) in LIST_SUFFIXES:
        lines = read_path_list(element)
        missing = [line for line in lines if not os.path.exists(line)]
        if missing:
            raise DataError(
                f"{len(missing)} of the {len(lines)} paths in '{element}' do not exist: "
                f"{some(missing)}; expected one path a line, relative ones relative to that file"
            )
        folders = [line for line in lines if os.path.isdir(line)]
        for folder in folders:
            yield from _folder_files(folder, others)
        yield from _image_files(sorted(set(lines) - set(folders)), f"'{element}'")
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
        elif suffix(match) in IMAGE_SUFFIXES:
            yield from _image_files([match], f"'{pattern}'")
        else:
            others[suffix(match)] += 1


def _folder_files(folder: str, others: Counter[str]) -> Iterator[bytes]:
    listing = list_folder(os.path.realpath(folder))
    others.update(listing.others)
    root = encode(_with_slashes(listing.root).rstrip("/"))
    return (root + b"/" + name for name in listing.names)


def _image_files(paths: Sequence[str], origin: str) -> Iterator[bytes]:
    """Yield absolute paths in which links to folders are resolved."""
    wrong = [path for path in paths if suffix(path) not in IMAGE_SUFFIXES]
    if wrong:
        raise DataError(
            f"{origin} names {len(wrong)} file(s) that are no images: {some(wrong)}; "
            f"expected endings {endings()}"
        )
    resolved: dict[str, str] = {}  # few folders, many files
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in resolved:
            resolved[folder] = _with_slashes(os.path.realpath(folder)).rstrip("/")
        yield encode(f"{resolved[folder]}/{name}")


def endings() -> str:
    """Return the image endings as text."""
    return " ".join(sorted(IMAGE_SUFFIXES))


def _common_folder(files: set[bytes]) -> str:
    folders = {decode_name(path.rpartition(b"/")[0]) or "/" for path in files}
    try:
        return _with_slashes(os.path.commonpath(folders)) if folders else ""
    except ValueError:  # several drives of Windows
        return ""


def _with_slashes(path: str) -> str:
    return path.replace(os.sep, "/")
