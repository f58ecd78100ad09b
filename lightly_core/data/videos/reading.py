"""Reads videos with PyAV: packets, frames, times and orientation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
import numpy.typing as npt

from lightly_core.data.names import harmless
from lightly_core.data.paths import why_not_opened
from lightly_core.data.pixels import UnreadableImage, refuse_bomb

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

#: Frames for each second that a stream without times is taken to have.
_USUAL_RATE = Fraction(25)
#: A playlist or a description in a file could name other files and addresses.
_ONLY_THIS_FILE = {"protocol_whitelist": "file"}


class UnreadableVideo(Exception):
    """A video cannot be used; the text is a short reason without its name."""


class Video:
    """An open video. Use `open_video` to create one.

    Args:
        container: The file.
        stream: Its first or best video stream.

    Attributes:
        damaged: Packets that could not be read or decoded so far.
        end: Time in seconds at which the packets read so far end.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self.container = container
        self.stream = stream
        self.damaged = 0
        self.end = 0.0
        self._start = stream.start_time or 0
        self._base = stream.time_base or Fraction(1, 1000)
        self._untimed = 0

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """Yield the packets from here to the end, or to the place where the file is damaged."""
        try:
            for packet in self.container.demux(self.stream):
                if packet.pts is not None:
                    end = self.seconds(packet.pts + (packet.duration or 0))
                    self.end = max(self.end, end)
                self.damaged += bool(packet.is_corrupt)
                yield packet
        except (av.FFmpegError, OSError, ValueError):
            self.damaged += 1

    def frames(self) -> Iterator[VideoFrame]:
        """Yield the frames from here in the order of time. Those that are damaged are left out."""
        for packet in self.packets():
            try:
                decoded = list(packet.decode())
            except (av.FFmpegError, ValueError):
                self.damaged += 1
                continue
            for frame in decoded:
                if frame.is_corrupt:
                    self.damaged += 1
                else:
                    yield frame

    def seek(self, pts: int) -> bool:
        """Go to the last key frame at or before a time stamp; return whether that was possible."""
        try:
            self.container.seek(pts, stream=self.stream)
        except (av.FFmpegError, OSError, ValueError):
            return False
        return True

    def seconds(self, pts: int) -> float:
        """Return the time of a presentation time stamp since the beginning, in seconds."""
        return float((pts - self._start) * self._base)

    def time_of(self, frame: VideoFrame) -> float:
        """Return the time of a frame in seconds. Frames without a time are counted."""
        if frame.pts is not None:
            return self.seconds(frame.pts)
        rate = self.stream.average_rate or _USUAL_RATE
        self._untimed += 1
        return float((self._untimed - 1) / rate)

    def problem(self) -> str:
        """Return what is wrong with what was read so far, once it was read to its end, or ""."""
        if self.damaged:
            return f"{self.damaged} parts are damaged"
        length = self.stream.duration
        stated = 0.0 if length is None else float(length * self._base)
        if stated - self.end > max(1.0, 0.02 * stated):
            return f"it ends after {self.end:.1f} of {stated:.1f} seconds"
        return ""


@contextmanager
def open_video(
    path: str | os.PathLike[str], *, key_frames: bool = False, threads: int = 1
) -> Iterator[Video]:
    """Open a video for reading.

    Args:
        path: A file of this machine.
        key_frames: Whether only key frames are decoded.
        threads: Threads that decode.

    Raises:
        UnreadableVideo: It is no video, or damaged at its beginning.
    """
    try:
        if refused := why_not_opened(path):
            raise UnreadableVideo(refused)
        container = av.open(os.fspath(path), options=_ONLY_THIS_FILE, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UnreadableVideo(_reason(error)) from error
    with container:
        stream = container.streams.best("video")
        if not isinstance(stream, av.VideoStream) or stream.codec_context is None:
            raise UnreadableVideo("it has no video stream")
        context = stream.codec_context
        try:
            refuse_bomb(context.width, context.height)
        except UnreadableImage as error:
            raise UnreadableVideo(str(error)) from error
        context.thread_count = threads
        context.thread_type = "AUTO" if threads > 1 else "SLICE"
        if key_frames:
            context.skip_frame = "NONKEY"
        yield Video(container, stream)


def pixels(frame: VideoFrame) -> npt.NDArray[np.uint8]:
    """Return a frame upright, as the metadata of phones says, (H, W, 3) in RGB."""
    array = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)  # (H, W, 3)
    quarters = round(frame.rotation / 90) % 4  # counterclockwise, as in np.rot90
    return np.ascontiguousarray(np.rot90(array, quarters)) if quarters else array


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return harmless(" ".join(str(text).split()))[:200]
