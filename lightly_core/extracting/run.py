"""Decodes videos and writes their frames, several videos at once."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from lightly_core.config.auto.machine import usable_cpus
from lightly_core.config.options.extract import ExtractConfig
from lightly_core.data.paths import some
from lightly_core.data.skipped import write_skipped
from lightly_core.data.videos.choice import FrameChoice
from lightly_core.data.videos.places import VideoFile, find_videos
from lightly_core.data.videos.reading import UnreadableVideo, Video, open_video, pixels
from lightly_core.engine.lock import held
from lightly_core.engine.logs import RunLogs
from lightly_core.engine.stops import like_ctrl_c
from lightly_core.errors import DataError
from lightly_core.extracting.checks import output_path, video_places
from lightly_core.extracting.hashing import SeenFrames
from lightly_core.extracting.manifest import Manifest, Row
from lightly_core.extracting.result import ExtractResult
from lightly_core.progress import progress

log = logging.getLogger(__name__)

SKIPPED_NAME = "skipped_videos.csv"
_WRITING = ".writing"


class _Stopped(Exception):
    """The command was stopped."""


def extract_videos(config: ExtractConfig) -> ExtractResult:
    """Write the frames of all videos that the folder does not have yet.

    Args:
        config: Checked settings, see `extract_problems`.

    Raises:
        DataError: There is no video, or none can be read.
        RunError: Another process writes to the folder.
        OSError: Frames cannot be written.
    """
    with RunLogs(True), like_ctrl_c():
        videos = find_videos(video_places(config))
        folder = output_path(config)
        folder.mkdir(parents=True, exist_ok=True)
        with held(folder):
            manifest = Manifest(folder)
            manifest.begin(config)
            _remove_unfinished(folder, videos)
            missing = [video for video in videos if not _is_there(manifest, folder, video)]
            if len(missing) < len(videos):
                log.info(
                    "%d of %d videos are done already.", len(videos) - len(missing), len(videos)
                )
            _extract_all(missing, config, folder, manifest)
            return _result(videos, manifest, folder)


def _is_there(manifest: Manifest, folder: Path, video: VideoFile) -> bool:
    """Return whether the folder has the frames of a video as it is now."""
    row = manifest.rows.get(video.name)
    if row is None or not row.frames or not (folder / video.name).is_dir():
        return False
    try:
        return row.is_of(os.stat(video.path))
    except OSError:
        return False


def _remove_unfinished(folder: Path, videos: Iterable[VideoFile]) -> None:
    """Remove what a killed process has left. No other process uses the folder."""
    for parent in {(folder / video.name).parent for video in videos}:
        for path in parent.glob(f".*{_WRITING}"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)


def _extract_all(
    videos: list[VideoFile], config: ExtractConfig, folder: Path, manifest: Manifest
) -> None:
    if not videos:
        return
    cpus = usable_cpus() if config.num_workers == "auto" else max(1, config.num_workers)
    workers = min(cpus, len(videos))
    stop = threading.Event()
    with (
        progress("Extracting frames", len(videos), unit="videos") as task,
        ThreadPoolExecutor(workers) as pool,
    ):
        work = _Extraction(config, folder, stop, threads=max(1, cpus // workers))
        futures = [pool.submit(work.extract, video) for video in videos]
        try:
            for future in as_completed(futures):
                manifest.add(future.result())
                task.advance()
        finally:  # after an error or a signal the others end after their current frame
            stop.set()
            for future in futures:
                future.cancel()


class _Extraction:
    """Writes the frames of single videos.

    Args:
        config: The settings.
        folder: The folder of all.
        stop: Is set when no further frame is to be written.
        threads: Threads that decode a video.
    """

    def __init__(
        self, config: ExtractConfig, folder: Path, stop: threading.Event, *, threads: int
    ) -> None:
        self._config = config
        self._folder = folder
        self._stop = stop
        self._threads = threads

    def extract(self, video: VideoFile) -> Row:
        """Write the frames of a video to its folder, all or none, and describe them.

        Raises:
            OSError: They cannot be written.
            _Stopped: `stop` was set.
        """
        problem, frames, dropped = "", 0, 0
        status: os.stat_result | None = None
        with _staged(self._folder / video.name) as place:
            try:
                status = os.stat(video.path)
                opened = open_video(
                    video.path, key_frames=self._config.key_frames, threads=self._threads
                )
                with opened as source:
                    frames, dropped, at_end = self._write_frames(source, place)
                    problem = source.problem() if at_end else ""
                    if not frames:
                        problem = problem or "it has no frames"
            except UnreadableVideo as error:
                problem = str(error)
            except FileNotFoundError as error:
                if status is not None:
                    raise
                problem = error.strerror or "it does not exist"
        size, modified = (0, 0) if status is None else (status.st_size, status.st_mtime_ns)
        return Row(
            video=video.name,
            size=size,
            modified=modified,
            frames=frames,
            near_duplicates=dropped,
            problem=problem,
        )

    def _write_frames(self, source: Video, place: Path) -> tuple[int, int, bool]:
        """Return how many frames were written, how many were not, and whether all were read."""
        choice, seen = FrameChoice(self._config), SeenFrames(self._config.min_difference)
        written, dropped, last = 0, 0, -1
        for frame in source.frames():
            if self._stop.is_set():
                raise _Stopped
            seconds = source.time_of(frame)
            if not choice.takes(seconds):
                continue
            image = self._shrunk(Image.fromarray(pixels(frame)))
            if not seen.is_new(image):
                choice.give_back()
                dropped += 1
                continue
            last = max(round(1000 * seconds), last + 1)
            self._save(image, place / f"{last:09d}.{self._config.format}")
            written += 1
            if choice.done:
                break
        return written, dropped, not choice.done

    def _shrunk(self, image: Image.Image) -> Image.Image:
        side = min(image.size)
        if self._config.size is None or side <= self._config.size:
            return image
        scale = self._config.size / side
        width, height = (max(1, round(scale * length)) for length in image.size)
        return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)

    def _save(self, image: Image.Image, path: Path) -> None:
        if self._config.format == "jpg":
            image.save(path, "JPEG", quality=self._config.quality)
        else:
            image.save(path, "PNG")


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target`, which it replaces if it has files at the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f".{target.name}-", suffix=_WRITING, dir=target.parent))
    umask = os.umask(0)
    os.umask(umask)
    place.chmod(0o777 & ~umask)
    try:
        yield place
        if target.is_dir():
            shutil.rmtree(target)  # of an earlier version of the video, or not listed yet
        if any(place.iterdir()):
            os.replace(place, target)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _result(videos: list[VideoFile], manifest: Manifest, folder: Path) -> ExtractResult:
    """Report what the folder has, and list the videos with problems.

    Raises:
        DataError: No video can be read.
    """
    rows = [manifest.rows[video.name] for video in videos]
    problems = {row.video: row.problem for row in rows if row.problem}
    listed = folder / SKIPPED_NAME
    if problems:
        numbered = [
            (index, row.video, row.problem) for index, row in enumerate(rows) if row.problem
        ]
        write_skipped(listed, numbered)
    else:
        listed.unlink(missing_ok=True)
    named = some([f"'{name}' ({reason})" for name, reason in problems.items()])
    with_frames = [row for row in manifest.rows.values() if row.frames]
    if not any(row.frames for row in rows):
        raise DataError(f"none of {len(rows)} videos can be read: {named}")
    if problems:
        log.warning(
            "%d of %d videos could not be read, or not to their end: %s. All are listed in %s",
            *(len(problems), len(rows), named, listed),
        )
    frames = sum(row.frames for row in with_frames)
    dropped = sum(row.near_duplicates for row in rows)
    log.info(
        "%d frames of %d videos are in %s%s.",
        *(frames, len(with_frames), folder),
        f"; {dropped} near duplicates were left out" if dropped else "",
    )
    return ExtractResult(folder, len(with_frames), frames, dropped, problems)
