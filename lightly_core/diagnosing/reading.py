"""Measures how fast images are read, and which part of it takes the time."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from lightly_core.contracts import Transform
from lightly_core.contracts.source import ImageRequest, ImageSource
from lightly_core.data.channels import image_size
from lightly_core.data.encoded import EncodedSource
from lightly_core.data.folder import FolderSource
from lightly_core.data.loading import load_or_reason
from lightly_core.data.paths import why_not_opened
from lightly_core.data.reading import sample_or_reason, sample_rng
from lightly_core.data.timing import Stopwatch, TimedSource
from lightly_core.diagnosing.speed import ReadingSpeed
from lightly_core.progress import tracked

#: Images whose smaller copies are made and read.
_COPIES = 16
_COPY_QUALITY = 90


def sampled(num_images: int, most: int) -> list[int]:
    """Return positions of images in random order, the same at each call.

    Args:
        num_images: Images of the source.
        most: Positions to return at most.
    """
    rng = np.random.default_rng(0)
    chosen: list[int] = rng.choice(num_images, min(num_images, most), replace=False).tolist()
    return chosen


def measure_reading(
    source: ImageSource, transform: Transform, indices: Sequence[int], seconds: float
) -> ReadingSpeed | None:
    """Read images and create their views as a loader process does, and measure the parts.

    Args:
        source: The images.
        transform: Its first stage is measured.
        indices: Positions of the images.
        seconds: Time after which no further image is read.

    Returns:
        The speed; None: none of the images can be read.
    """
    totals = _Totals()
    watch = Stopwatch()
    timed = TimedSource(source, watch)
    started = time.perf_counter()
    with _one_thread():
        # The first image also loads the readers of its format.
        sample_or_reason(source, transform, indices[0], sample_rng(0, 0, indices[0]))
        for index in tracked(indices, "Reading images", len(indices)):
            totals.cold &= _forget(source, index)
            first, size = _read_file(source, index)
            again, _ = _read_file(source, index)
            watch.take()
            sample = sample_or_reason(timed, transform, index, sample_rng(0, 0, index))
            times = watch.take()
            if isinstance(sample, str):
                totals.unreadable.append((source.name(index), sample))
            else:
                totals.add(first, max(times.read - again, 0.0), times.views, times.pixels, size)
            if time.perf_counter() - started > seconds:
                break
    return totals.speed()


def copies(source: ImageSource, indices: Sequence[int], side: int) -> ImageSource | None:
    """Return smaller JPEG copies of some images, in memory.

    Args:
        source: The images.
        indices: Positions of images, of which up to 16 are copied.
        side: Shorter side of the copies in pixels.

    Returns:
        The copies; None: no image is larger than its copy, has 8 bit, and can be read.
    """
    files = []
    for index in indices[:_COPIES]:
        image = load_or_reason(source, index)
        if isinstance(image, str):
            continue
        data = _small_file(image, side)
        if data is not None:
            files.append(data)
    return _Copies(files, source.num_channels) if files else None


class _Copies(EncodedSource):
    """Images by the bytes of their files."""

    def __init__(self, files: Sequence[bytes], num_channels: int) -> None:
        super().__init__(ImageRequest(num_channels))
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def name(self, index: int) -> str:
        """Return a number."""
        return str(index)

    def read(self, index: int) -> bytes:
        """Return the file."""
        return self._files[index]


class _Totals:
    """Sums over the images that were read."""

    def __init__(self) -> None:
        self.images = 0
        self.sums = np.zeros(5)
        self.cold = True
        self.unreadable: list[tuple[str, str]] = []

    def add(self, disk: float, decode: float, views: float, pixels: int, size: int) -> None:
        """Add an image: seconds of the parts, pixels, and bytes of its file."""
        self.images += 1
        self.sums += (disk, decode, views, pixels / 1e6, size / 1e3)

    def speed(self) -> ReadingSpeed | None:
        """Return the means; None: there was no image."""
        if not self.images:
            return None
        disk, decode, views, megapixels, kilobytes = (self.sums / self.images).tolist()
        return ReadingSpeed(
            images=self.images,
            disk=disk,
            decode=decode,
            views=views,
            megapixels=megapixels,
            kilobytes=kilobytes,
            cold=self.cold,
            unreadable=tuple(self.unreadable),
        )


def _read_file(source: ImageSource, index: int) -> tuple[float, int]:
    """Read the file of an image; return the seconds, and its size in bytes, 0 without a file."""
    started = time.perf_counter()
    data: bytes | None = None
    try:
        if isinstance(source, FolderSource):
            if why_not_opened(source.path(index)) is None:
                data = Path(source.path(index)).read_bytes()
        else:
            data = source.read(index)
    except Exception:  # reported when the image is decoded
        return 0.0, 0
    if data is None:
        return 0.0, 0
    return time.perf_counter() - started, len(data)


def _forget(source: ImageSource, index: int) -> bool:
    """Ask the system to forget a file, so that it is read from the disk; return whether it can."""
    if not isinstance(source, FolderSource) or not hasattr(os, "posix_fadvise"):
        return False
    try:
        if why_not_opened(source.path(index)) is not None:
            return False
        with open(source.path(index), "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    except OSError:
        return False
    return True


def _small_file(image: Image.Image | np.ndarray[Any, Any], side: int) -> bytes | None:
    height, width = image_size(image)
    if min(height, width) <= side:
        return None
    if not isinstance(image, Image.Image):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            return None
        image = Image.fromarray(image)
    if image.mode not in ("L", "RGB"):
        return None
    scale = side / min(height, width)
    small = image.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=_COPY_QUALITY)
    return file.getvalue()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one thread, as in a loader process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
