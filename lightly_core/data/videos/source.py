"""The chosen frames of videos as images, by position."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from lightly_core.contracts.source import ImageRequest, Labels
from lightly_core.data.decode import LeastScale, decode_bytes
from lightly_core.data.encoded import DecodedSource
from lightly_core.data.file_cache import BoundedCache
from lightly_core.data.pixels import UnreadableImage, fit_channels
from lightly_core.data.videos.index import VideoIndex, version_of
from lightly_core.data.videos.places import VideoFile
from lightly_core.data.videos.reading import UnreadableVideo, open_video, pixels

_QUALITY = 95
_MILLISECONDS = 1000


class _NotCachedError(Exception):
    """The cache does not have a frame."""


class VideoSource(DecodedSource):
    """The chosen frames of videos, video by video, in the order of time.

    A frame that is not a key frame can only be decoded after those before it, from the last key
    frame on. All chosen frames between two key frames are therefore decoded together when the first
    of them is needed, and kept in the cache.

    Args:
        videos: The videos.
        indexes: The index of each.
        chosen: Positions in its index of the frames of each that are used.
        request: How images are decoded.
        cache: Where decoded frames are kept; None: they are not.
        class_folders: Whether the folders directly below the root are classes.
    """

    def __init__(
        self,
        videos: Sequence[VideoFile],
        indexes: Sequence[VideoIndex],
        chosen: Sequence[npt.NDArray[np.int64]],
        request: ImageRequest,
        *,
        cache: BoundedCache | None,
        class_folders: bool,
    ) -> None:
        super().__init__(request)
        self._videos = list(videos)
        self._versions = [version_of(video.path) for video in videos]
        self._ends = np.cumsum([len(frames) for frames in chosen])  # (V,)
        pairs = list(zip(indexes, chosen, strict=True))
        self._stamps = np.concatenate([index.stamps[frames] for index, frames in pairs])  # (N,)
        self._starts = np.concatenate([_starts(index, frames) for index, frames in pairs])
        self._times = np.concatenate([_milliseconds(index.seconds[f]) for index, f in pairs])
        self._cache = cache
        self._class_folders = class_folders

    def __len__(self) -> int:
        return len(self._stamps)

    def name(self, index: int) -> str:
        """Return the name of the video and the time in milliseconds: ``a/1.mp4/000012400``."""
        video = self._videos[self._video_of(index)]
        return f"{video.name}/{self._times[index]:09d}"

    def _decode(self, index: int, least_scale: LeastScale | None) -> Image.Image | npt.NDArray[Any]:
        if self._cache is None:
            for _, array in self._decoded(index, [index]):
                return fit_channels(array, self.num_channels)
            raise UnreadableImage("the frame cannot be decoded")
        return decode_bytes(
            self._encoded(index, self._cache),
            self.num_channels,
            least_scale=least_scale,
            value_range=self.value_range,
        )

    def labels(self) -> Labels | None:
        """Return the folders directly below the root as classes, if all videos lie in some."""
        folders = [video.name.partition("/")[0] for video in self._videos]
        inside = all("/" in video.name for video in self._videos)
        classes = sorted(set(folders))
        if not (self._class_folders and inside and len(classes) > 1):
            return None
        numbers = np.asarray([classes.index(folder) for folder in folders], np.int64)
        counts = np.diff(self._ends, prepend=0)
        return Labels(
            np.repeat(numbers, counts), tuple(classes), f"{len(classes)} folders of videos"
        )

    def why_no_labels(self) -> str:
        """Return the reason why `labels` returns None."""
        return "the videos are not in two or more folders of one folder"

    def _video_of(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        return int(np.searchsorted(self._ends, index, side="right"))

    def _key(self, index: int) -> str:
        version = self._versions[self._video_of(index)]
        return f"{version} {self._stamps[index]} jpeg {_QUALITY}"

    def _encoded(self, index: int, cache: BoundedCache) -> bytes:
        """Return a frame as a JPEG, and put those that are decoded with it into the cache."""
        try:
            with cache.open(self._key(index), _not_there) as file:
                return file.read()
        except _NotCachedError:
            own = None
        for other, array in self._decoded(index, self._together(index)):
            encoded = _jpeg(array)
            with suppress(OSError):  # the disk is full, for example
                cache.prepare(self._key(other), partial(_write, encoded))
            if other == index:
                own = encoded
        if own is None:
            raise UnreadableImage("the frame cannot be decoded")
        return own

    def _together(self, index: int) -> list[int]:
        """Return the chosen frames of a video that follow the same key frame as this one."""
        video = self._video_of(index)
        first = int(self._ends[video - 1]) if video else 0
        starts = self._starts[first : int(self._ends[video])]
        same = np.flatnonzero(starts == self._starts[index])
        return [first + int(place) for place in same]

    def _decoded(
        self, index: int, wanted: Sequence[int]
    ) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
        """Yield positions and pixels (H, W, 3) of frames that follow one key frame."""
        video = self._videos[self._video_of(index)]
        start = int(self._starts[index])
        try:
            for seek in (True, False):  # an index in a file may be wrong
                found = False
                for place, array in _frames(
                    video.path, start if seek else None, self._stamps, wanted
                ):
                    found = True
                    yield place, array
                if found:
                    return
        except UnreadableVideo as error:
            raise UnreadableImage(str(error)) from error


def _frames(
    path: str, start: int | None, stamps: npt.NDArray[np.int64], wanted: Sequence[int]
) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """Yield the frames of some positions, from a key frame or from the beginning."""
    remaining = list(wanted)
    with open_video(path) as video:
        if start is not None and not video.seek(start):
            return
        is_first = True
        for frame in video.frames():
            stamp = frame.dts if frame.pts is None else frame.pts
            if stamp is None:
                continue
            if start is not None and is_first and stamp > stamps[remaining[0]]:
                return  # sought too far
            is_first = False
            while remaining and stamp >= stamps[remaining[0]]:
                yield remaining.pop(0), pixels(frame)
            if not remaining:
                return


def _starts(index: VideoIndex, frames: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the time stamp of the last key frame at or before each frame."""
    keys = np.flatnonzero(index.keys)
    if not len(keys):
        return np.full(len(frames), index.stamps[0])
    places = np.searchsorted(keys, frames, side="right") - 1
    return index.stamps[keys[np.maximum(places, 0)]]


def _milliseconds(seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return whole milliseconds, each larger than the one before."""
    rounded = np.maximum(np.rint(seconds * _MILLISECONDS).astype(np.int64), 0)
    steps = np.arange(len(rounded))
    return np.maximum.accumulate(rounded - steps) + steps


def _jpeg(array: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def _not_there(path: Path) -> None:
    raise _NotCachedError


def _write(data: bytes, path: Path) -> None:
    path.write_bytes(data)
