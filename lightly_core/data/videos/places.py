"""Finds video files. Imports nothing heavy."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence

from attrs import define

from lightly_core.config.options.videos import FrameArgs
from lightly_core.data.endings import LIST_SUFFIXES, suffix
from lightly_core.data.names import shown
from lightly_core.data.packed import common_folder, unpacked
from lightly_core.data.paths import is_glob, list_folder, read_path_list, some
from lightly_core.errors import DataError
from lightly_core.plugins.builtin import VIDEO_SUFFIXES

_KNOWN = frozenset(VIDEO_SUFFIXES)
_EXPECTED = (
    "expected a folder, a glob, a text file of paths, or a file with one of the endings "
    f"{' '.join(VIDEO_SUFFIXES)}"
)


@define(frozen=True)
class VideoFile:
    """A video of this machine.

    Attributes:
        path: Absolute path.
        name: Path with ``/`` that is unique among the videos: relative to the folder that was
            given, or to the folder that all videos have in common.
    """

    path: str
    name: str


def is_video_name(path: str) -> bool:
    """Return whether a file counts as a video by its ending."""
    return suffix(path) in _KNOWN


def find_videos(places: Sequence[str]) -> list[VideoFile]:
    """Return the videos of folders, files, globs and text files of paths, sorted by name.

    Raises:
        DataError: A place does not exist, is no video, or there is no video.
    """
    expanded = [os.path.expanduser(place) for place in places]
    if len(expanded) == 1 and os.path.isdir(expanded[0]):
        listing = list_folder(expanded[0], _KNOWN, what="videos")
        found = [VideoFile(os.path.join(listing.root, n), n) for n in unpacked(listing.names)]
    else:
        paths = sorted({path for place in expanded for path in _files(place)})
        cut = len(common_folder(paths))
        found = [VideoFile(path, path[cut:]) for path in paths]
    if not found:
        raise DataError(f"no videos in {some([f'{place!r}' for place in places])}; {_EXPECTED}")
    return found


def problems(places: Sequence[str], options: FrameArgs) -> list[str]:
    """Return why texts cannot name videos, one text for each mistake."""
    return [problem for place in places if (problem := _problem(place))]


def _files(place: str) -> Iterator[str]:
    """Yield the absolute paths, with ``/``, of the videos of one place."""
    if is_glob(place):
        for match in glob.glob(place, recursive=True):
            if os.path.isdir(match) or is_video_name(match):
                yield from _files(match)
    elif os.path.isdir(place):
        listing = list_folder(os.path.realpath(place), _KNOWN, what="videos")
        yield from (_absolute(os.path.join(listing.root, n)) for n in unpacked(listing.names))
    elif suffix(place) in LIST_SUFFIXES:
        for line in read_path_list(place):
            yield from _files(line)
    elif problem := _problem(place):
        raise DataError(problem)
    else:
        yield _absolute(place)


def _absolute(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name).replace(os.sep, "/")


def _problem(place: str) -> str | None:
    name = shown(place)
    path = os.path.expanduser(place)
    if not place.strip() or "\0" in place:
        return f"got '{name}'; {_EXPECTED}"
    if is_glob(path):
        matches = next(glob.iglob(path, recursive=True), None)
        return None if matches else f"no file matches '{name}'"
    if "://" in place and not os.path.lexists(path):
        return f"'{name}' is an address, and videos are read from this machine; copy them here"
    if not os.path.exists(path):
        return f"'{name}' does not exist"
    if os.path.isdir(path) or is_video_name(path) or suffix(path) in LIST_SUFFIXES:
        return None
    return f"'{name}' is not a video; {_EXPECTED}"
