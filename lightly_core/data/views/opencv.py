"""Photometric changes of RGB images of bytes on a CPU by OpenCV, if it is installed.

The same changes as in `lightly_core.data.views.device`, in a fraction of the time: pixels stay
bytes until they are normalised, with channels last in memory. Each change is rounded to levels of
1/255, so values differ by a level or two from those of floats. `docs/images.md` has the measured
differences.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import ModuleType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightly_core.data.views.buffers import Buffers
from lightly_core.data.views.changes import LUMA, Kind, Wanted, kind_and_radius

_LOGGER = logging.getLogger(__name__)

Bytes: TypeAlias = npt.NDArray[np.uint8]
Pixels: TypeAlias = npt.NDArray[np.generic]

# For smaller images, calls for single images take longer than torch's operations on a whole chunk.
_LEAST_PIXELS = 64 * 64


def suits(pixels: Tensor) -> bool:
    """Return whether `photometric` is used for images (B, C, H, W)."""
    return (
        pixels.device.type == "cpu"
        and pixels.dtype == torch.uint8
        and pixels.shape[1] == 3
        and pixels.shape[2] * pixels.shape[3] >= _LEAST_PIXELS
        and pixels.is_contiguous(memory_format=torch.channels_last)
        and _cv2() is not None
    )


def photometric(
    pixels: Tensor, changes: Wanted, means: Tensor, stds: Tensor, buffers: Buffers
) -> Tensor:
    """Apply colour changes, blur and normalisation.

    Args:
        pixels: (B, 3, H, W) uint8 with channels last in memory.
        changes: What to apply to each image.
        means: Mean of each channel, (B, 3, 1, 1).
        stds: Standard deviation of each channel, likewise.
        buffers: Memory for the result.

    Returns:
        Normalised float32 tensor (B, 3, H, W) with channels last in memory.
    """
    images: Bytes = pixels.permute(0, 2, 3, 1).numpy()  # (B, H, W, 3)
    batch, height, width, channels = images.shape
    result = buffers.take((batch, height, width, channels))
    lines = result.reshape(batch, height, width * channels)
    steps = _by_image(changes, batch)
    mean, std = (statistic.view(batch, channels).numpy() for statistic in (means, stds))
    # Whole rows: broadcast over three values at a time, an operation would take ten times as long.
    factors, offsets = np.tile(1 / (255 * std), width), np.tile(-mean / std, width)

    def fill(rows: Iterable[int]) -> None:
        for row in rows:
            out = lines[row]
            np.copyto(out, _changed(images[row], steps[row]).reshape(height, -1))
            out *= factors[row]
            out += offsets[row]

    threads = min(torch.get_num_threads(), batch)
    with _one_thread_a_call():
        if threads <= 1:
            fill(range(batch))
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(fill, (range(first, batch, threads) for first in range(threads))))
    return torch.from_numpy(result).permute(0, 3, 1, 2)


@contextmanager
def _one_thread_a_call() -> Iterator[None]:
    """Keep OpenCV from starting threads of its own.

    It would do so for large images only, and its functions would then hang in processes that are
    forked later.
    """
    cv2 = _require()
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _by_image(changes: Wanted, batch: int) -> list[list[tuple[int, float]]]:
    """Return the keys and values of the changes of each image in the order of application."""
    steps: list[list[tuple[int, float]]] = [[] for _ in range(batch)]
    order = np.argsort(changes.keys, kind="stable")
    columns = (numbers[order].tolist() for numbers in changes)
    for row, key, value in zip(*columns, strict=True):
        steps[row].append((key, value))
    return steps


def _changed(image: Bytes, steps: list[tuple[int, float]]) -> Pixels:
    """Apply changes to one image (H, W, 3), which is not overwritten."""
    # Two buffers in turn: memory that was just used is in the cache.
    source, target, other = image, np.empty_like(image), np.empty_like(image)
    for key, value in steps:
        kind, radius = kind_and_radius(key)
        if kind is Kind.BLUR:
            blurred = _blurred(source, value, radius)
            if key == steps[-1][0]:
                return blurred
            _to_bytes(blurred, target)
        else:
            _CHANGES[kind](source, target, value)
        source, target, other = target, other, target
    return source


def _to_bytes(levels: npt.NDArray[np.float32], target: Bytes) -> None:
    """Round levels in [0, 255]."""
    _require().convertScaleAbs(levels, dst=target)


# ------------------------------------------------- single changes of (H, W, 3) into another array


def _brightness(source: Bytes, target: Bytes, factor: float) -> None:
    _require().convertScaleAbs(source, dst=target, alpha=factor)


def _contrast(source: Bytes, target: Bytes, factor: float) -> None:
    cv2 = _require()
    mean = float(np.dot(cv2.mean(source)[:3], LUMA))
    cv2.addWeighted(source, factor, source, 0, mean * (1 - factor), dst=target)


def _saturation(source: Bytes, target: Bytes, factor: float) -> None:
    matrix = factor * np.eye(3) + (1 - factor) * np.array(LUMA)
    _require().transform(source, matrix, dst=target)


def _hue(source: Bytes, target: Bytes, shift: float) -> None:
    cv2 = _require()
    # In floats: bytes take as long, and would round the hue to 256 levels.
    pixels = cv2.cvtColor(source.astype(np.float32), cv2.COLOR_RGB2HSV)
    cv2.add(pixels, (360 * (shift % 1), 0, 0, 0), dst=pixels)
    _to_bytes(cv2.cvtColor(pixels, cv2.COLOR_HSV2RGB), target)


def _gray(source: Bytes, target: Bytes, value: float) -> None:
    cv2 = _require()
    cv2.cvtColor(cv2.cvtColor(source, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB, dst=target)


def _blurred(source: Bytes, sigma: float, radius: int) -> npt.NDArray[np.float32]:
    cv2 = _require()
    height, width = source.shape[:2]
    across, down = (
        cv2.getGaussianKernel(2 * min(radius, side - 1) + 1, sigma, cv2.CV_32F)
        for side in (width, height)
    )
    # Takes half of the time of `GaussianBlur`.
    blurred: npt.NDArray[np.float32] = cv2.sepFilter2D(
        source, cv2.CV_32F, across, down, borderType=cv2.BORDER_REFLECT_101
    )
    return blurred


def _solarize(source: Bytes, target: Bytes, threshold: float) -> None:
    levels = np.arange(256, dtype=np.uint8)
    inverted = levels * np.float32(1 / 255) >= np.float32(threshold)
    _require().LUT(source, np.where(inverted, 255 - levels, levels), dst=target)


_CHANGES: dict[Kind, Callable[[Bytes, Bytes, float], None]] = {
    Kind.BRIGHTNESS: _brightness,
    Kind.CONTRAST: _contrast,
    Kind.SATURATION: _saturation,
    Kind.HUE: _hue,
    Kind.GRAY: _gray,
    Kind.SOLARIZE: _solarize,
}


def _require() -> ModuleType:
    cv2 = _cv2()
    assert cv2 is not None
    return cv2


@functools.cache
def _cv2() -> ModuleType | None:
    try:
        import cv2
    except ImportError:  # not installed, or it lacks a library of the system
        _LOGGER.info(
            "Photometric changes on a CPU are computed by torch, since OpenCV is not installed. "
            "With it (lightly-core[opencv]) they take a fraction of the time."
        )
        return None
    _LOGGER.info("Photometric changes on a CPU are computed by OpenCV %s.", cv2.__version__)
    return cv2
