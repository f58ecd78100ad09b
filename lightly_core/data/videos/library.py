"""Opens videos as a data source."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from lightly_core.config.options.videos import FrameArgs, VideoDataArgs
from lightly_core.contracts.source import ExampleImage, ImageRequest, SourceLibrary
from lightly_core.data.file_cache import BoundedCache
from lightly_core.data.names import shown
from lightly_core.data.paths import some
from lightly_core.data.videos.choice import FrameChoice
from lightly_core.data.videos.index import VideoIndex, video_index
from lightly_core.data.videos.places import VideoFile, find_videos
from lightly_core.data.videos.reading import UnreadableVideo
from lightly_core.data.videos.source import VideoSource
from lightly_core.errors import DataError
from lightly_core.progress import tracked

logger = logging.getLogger(__name__)

#: Videos that are indexed at once.
_THREADS = 4


class VideoLibrary(SourceLibrary):
    """Finds videos, reads their indexes, and chooses frames by their times."""

    def open(
        self, places: Sequence[str], options: VideoDataArgs, request: ImageRequest
    ) -> VideoSource:
        """Index the videos.

        Raises:
            DataError: There is no video, or no video can be read.
        """
        videos = find_videos(places)
        with ThreadPoolExecutor(_THREADS) as pool:
            found = pool.map(_index_or_reason, videos)
            indexes = list(
                tracked(found, "Reading the index of videos", len(videos), unit="videos")
            )
        pairs = list(zip(videos, indexes, strict=True))
        opened = [(video, index) for video, index in pairs if isinstance(index, VideoIndex)]
        _report(pairs)
        chosen = [_chosen(index, options) for _, index in opened]
        if not sum(map(len, chosen)):
            raise DataError(f"no frames in {len(opened)} videos: they have no key frames")
        limit = int(options.cache_size * 2**30)
        folder = os.path.expanduser(places[0])
        return VideoSource(
            [video for video, _ in opened],
            [index for _, index in opened],
            chosen,
            request,
            cache=BoundedCache("frames", limit) if limit else None,
            class_folders=len(places) == 1 and os.path.isdir(folder),
        )

    def example(self, folder: Path, images: Sequence[ExampleImage]) -> str:
        """Write a video of one frame for each image, whose content is that frame."""
        for image in images:
            path = (folder / image.name).with_suffix(".mov")
            path.parent.mkdir(exist_ok=True)
            _write_frame(path, image.data)
        return f"video:{folder.as_posix()}?cache_size=0"


def _index_or_reason(video: VideoFile) -> VideoIndex | str:
    try:
        return video_index(video.path)
    except UnreadableVideo as error:
        return str(error)
    except OSError as error:
        return error.strerror or type(error).__name__


def _report(pairs: Sequence[tuple[VideoFile, VideoIndex | str]]) -> None:
    """Warn about videos that are left out, and about damaged ones.

    Raises:
        DataError: No video can be read.
    """
    broken = [f"'{video.name}' ({reason})" for video, reason in pairs if isinstance(reason, str)]
    if len(broken) == len(pairs):
        raise DataError(
            f"none of {len(pairs)} videos can be read: {some(broken)}; expected videos that FFmpeg "
            "reads"
        )
    if broken:
        logger.warning(
            "%d of %d videos cannot be read and are left out: %s",
            len(broken),
            len(pairs),
            some(broken),
        )
    cut = [
        f"'{shown(video.name)}' ({index.problem})"
        for video, index in pairs
        if isinstance(index, VideoIndex) and index.problem
    ]
    if cut:
        logger.warning("Videos that could not be read to their end: %s", some(cut))


def _chosen(index: VideoIndex, options: FrameArgs) -> npt.NDArray[np.int64]:
    """Return the positions in an index of the frames that are used."""
    choice = FrameChoice(options)
    frames = np.flatnonzero(index.keys) if options.key_frames else np.arange(len(index.seconds))
    taken = [frame for frame in frames.tolist() if choice.takes(float(index.seconds[frame]))]
    return np.asarray(taken, np.int64)


def _write_frame(path: Path, png: bytes) -> None:
    """Write a QuickTime file with a PNG as its only frame, whatever the PNG holds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "rgb24"
        packet = av.Packet(png)
        packet.stream = stream
        packet.time_base = Fraction(1, 1)
        packet.pts = packet.dts = 0
        packet.is_keyframe = True
        container.mux(packet)
