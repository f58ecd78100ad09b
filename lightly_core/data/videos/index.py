"""The index of a video: the times of its frames, and which of them are key frames."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from attrs import define

from lightly_core.data.file_cache import BoundedCache
from lightly_core.data.videos.reading import UnreadableVideo, open_video

#: Raised when the content of stored indexes changes.
_VERSION = 1
_MOST_BYTES = 1 << 30


@define(eq=False)
class VideoIndex:
    """The frames of one video, by time.

    Attributes:
        stamps: Presentation time stamps, increasing, (F,) int64.
        seconds: Their times since the beginning, (F,) float64.
        keys: Whether each is a key frame, (F,) bool.
        problem: Why the video could not be read to its end; empty: it could.
    """

    stamps: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.float64]
    keys: npt.NDArray[np.bool_]
    problem: str = ""


def version_of(path: str) -> str:
    """Return a text that names a file, and that changes when the file does.

    Raises:
        OSError: It does not exist.
    """
    status = os.stat(path)
    return f"{os.path.realpath(path)} {status.st_size} {status.st_mtime_ns}"


def video_index(path: str) -> VideoIndex:
    """Return the index of a video, which is kept for later runs. No frame is decoded.

    Raises:
        UnreadableVideo: It is no video, or it has no frame with a time.
        OSError: It does not exist.
    """
    scanned: list[VideoIndex] = []

    def scan(place: Path) -> None:
        scanned.append(_scan(path))
        with place.open("wb") as stored:
            _write(scanned[0], stored)

    cache = BoundedCache("video-indexes", _MOST_BYTES)
    key = f"{_VERSION} {version_of(path)}"
    try:
        with cache.open(key, scan) as file:
            return scanned[0] if scanned else _read(file)
    except UnreadableVideo:
        raise
    except Exception:  # the cache cannot be used, or the index in it is damaged
        return scanned[0] if scanned else _scan(path)


def _scan(path: str) -> VideoIndex:
    stamps: list[int] = []
    keys: list[bool] = []
    with open_video(path) as video:
        for packet in video.packets():
            stamp = packet.dts if packet.pts is None else packet.pts
            if stamp is None or packet.size == 0 or packet.is_discard:
                continue
            stamps.append(stamp)
            keys.append(bool(packet.is_keyframe))
        if not stamps:
            raise UnreadableVideo("it has no frame with a time")
        unique, first = np.unique(np.asarray(stamps, np.int64), return_index=True)
        seconds = np.asarray([video.seconds(int(stamp)) for stamp in unique])
        return VideoIndex(unique, seconds, np.asarray(keys)[first], video.problem())


def _read(file: IO[bytes]) -> VideoIndex:
    with np.load(file, allow_pickle=False) as arrays:
        return VideoIndex(
            arrays["stamps"], arrays["seconds"], arrays["keys"], str(arrays["problem"])
        )


def _write(index: VideoIndex, file: IO[bytes]) -> None:
    buffer = io.BytesIO()  # NumPy writes a zip, whose positions count from the start of a file
    np.savez(
        buffer,
        stamps=index.stamps,
        seconds=index.seconds,
        keys=index.keys,
        problem=index.problem,
    )
    file.write(buffer.getbuffer())
