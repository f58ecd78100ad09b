"""Keeps small images of one size in memory: checks whether that is possible, and decodes them.

For data sets such as CIFAR. There, decoding and passing every view between processes take far
longer than a training step. With all pixels in one tensor neither is needed.
"""

from __future__ import annotations

import logging
import os
import time
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from attrs import define
from torch import Tensor

from lightly_core.config.auto.memory import MemoryChoice, unseen
from lightly_core.config.options.transform import TransformArgs
from lightly_core.config.reading.load import Settings
from lightly_core.data.base import ImageSource
from lightly_core.data.library_messages import Note, NoteLog
from lightly_core.data.names import shown
from lightly_core.data.reading import load_or_reason
from lightly_core.data.views import worker
from lightly_core.errors import ConfigError
from lightly_core.plugins.loading import load_target
from lightly_core.progress import tracked

logger = logging.getLogger(__name__)

#: Longest side of images and views, in pixels, up to which this is faster on a CPU.
AUTO_SIDE = 64
#: Longest side of images with ``in_memory=true``; the work grows with the cube of the side.
MAX_SIDE = 128
#: Maximum size of all images together in bytes; also at most a quarter of the machine's memory.
MAX_BYTES = 1 << 30

_NUM_INSPECTED = 16


@define(eq=False)
class ImageMemory:
    """All images of a source.

    Attributes:
        images: (N, H, C, W) uint8; zeros for unreadable images. With this order of axes
            `resample` needs no transposition.
        unreadable: The reason why an image cannot be read, by its position.
    """

    images: Tensor
    unreadable: dict[int, str]

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.images.shape[1], self.images.shape[3]


class NotPossible(Exception):
    """Images cannot be kept in memory; the text is the reason."""


class Limits(NamedTuple):
    """What may be kept in memory.

    Attributes:
        image_side: Longest side of an image in pixels.
        view_side: Longest side of a view in pixels; None: any.
        num_bytes: Size of all images together.
    """

    image_side: int
    view_side: int | None
    num_bytes: int


# --------------------------------------------------------------------------- before


def choose_memory(settings: Settings, source: ImageSource) -> MemoryChoice:
    """Resolve the setting `in_memory` by inspecting a few images.

    The result depends only on settings, images and the machine's total memory. Free memory does
    not matter, so a resumed run makes the same choice.

    Raises:
        ConfigError: ``in_memory=true`` is not possible.
    """
    wanted = settings.run.in_memory
    if wanted is False:
        return unseen(False)
    view_side = None if wanted is True else AUTO_SIDE
    limits = Limits(MAX_SIDE if wanted is True else AUTO_SIDE, view_side, max_bytes())
    try:
        record = settings.transform_record
        if record is not None and not hasattr(load_target(record), "from_memory"):
            raise NotPossible(f"the {record.label} has no from_memory()")
        check_views(settings.transform, limits.view_side)
        reason = inspect_images(source, settings.transform.source_channels, limits)
    except NotPossible as found:
        if wanted is True:
            raise ConfigError(_refused(found)) from found
        return MemoryChoice(use=False, reason=str(found))
    return MemoryChoice(use=True, required=wanted is True, reason=reason)


def max_bytes() -> int:
    """Return how many bytes of images may be kept: 1 GiB, or a quarter of a small memory."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not available on this system
        return MAX_BYTES
    return min(MAX_BYTES, whole // 4)


def check_views(args: TransformArgs, most_side: int | None) -> None:
    """Refuse views that only a worker process can create.

    Raises:
        NotPossible: Channels are dropped, images are rotated, or a view is too large.
    """
    specs = args.view_specs()
    if args.channel_drop is not None:
        raise NotPossible("transform_args.channel_drop is on")
    if any(spec.random_rotation is not None for spec in specs):
        raise NotPossible("transform_args.random_rotation is on")
    longest = max(side for spec in specs for side in spec.size)
    if most_side is not None and longest > most_side:
        raise NotPossible(f"views have sides of {longest} pixels, more than {most_side}")


def inspect_images(source: ImageSource, num_channels: int, limits: Limits) -> str:
    """Load some images, twice each, and return a description of all of them.

    Args:
        source: The images.
        num_channels: Channels of the source that views are created from.
        limits: What may be kept.

    Raises:
        NotPossible: Images are too large, too many, of several sizes, above 8 bit, or change when
            they are loaded again; or none of the inspected images can be read.
    """
    first: tuple[str, tuple[int, ...]] | None = None
    for index in np.unique(np.linspace(0, len(source) - 1, _NUM_INSPECTED).astype(int)).tolist():
        pixels = _pixels(source, index, num_channels)
        if pixels is None:
            continue
        name = source.name(index)
        height, width = pixels.shape[:2]
        if max(height, width) > limits.image_side:
            raise NotPossible(
                f"'{shown(name)}' has {width} x {height} pixels, more than "
                f"{limits.image_side} a side"
            )
        if first is None:
            first = name, pixels.shape
        _same_size(name, pixels.shape, *first)
        again = _pixels(source, index, num_channels)
        if again is None or not np.array_equal(pixels, again):
            raise NotPossible(f"'{shown(name)}' changes each time it is loaded")
    if first is None:
        raise NotPossible("none of the inspected images can be read")
    height, width, _ = first[1]
    num_bytes = _whole_size(source, first[1], limits.num_bytes)
    return f"all images have {width} x {height} pixels and are {_mib(num_bytes)} together"


# --------------------------------------------------------------------------- reading


def keep_images(source: ImageSource, num_channels: int, choice: MemoryChoice) -> ImageMemory | None:
    """Decode all images if that was chosen, and log which way of loading is used.

    Returns:
        The images in the CPU's memory; None if worker processes read them.

    Raises:
        ConfigError: ``in_memory=true`` was requested, but the images do not allow it.
    """
    reason = choice.reason
    if choice.use:
        start = time.perf_counter()
        try:
            memory = read_all(source, num_channels)
        except NotPossible as found:
            if choice.required:
                raise ConfigError(_refused(found)) from found
            reason = str(found)
        else:
            logger.info(
                "Images are kept in memory: %s. Decoding took %.1f s",
                reason,
                time.perf_counter() - start,
            )
            return memory
    logger.info("Images are decoded each time they are used, not kept in memory: %s", reason)
    return None


def read_all(source: ImageSource, num_channels: int) -> ImageMemory:
    """Decode all images of a source.

    Raises:
        NotPossible: Images have several sizes or more than 8 bit, exceed `max_bytes` together,
            or none can be read.
    """
    images: npt.NDArray[np.uint8] | None = None
    notes, log = list[Note](), NoteLog()
    first = ""
    unreadable: dict[int, str] = {}
    for index in tracked(range(len(source)), "Reading images into memory", len(source)):
        pixels = _pixels(source, index, num_channels, unreadable, notes)
        log.add(notes)
        notes.clear()
        if pixels is None:
            continue
        if images is None:
            _whole_size(source, pixels.shape, max_bytes())
            height, width, channels = pixels.shape
            images = np.zeros((len(source), height, channels, width), np.uint8)
            first, shape = source.name(index), pixels.shape
        _same_size(source.name(index), pixels.shape, first, shape)
        images[index] = pixels.transpose(0, 2, 1)
    if images is None:
        raise NotPossible("no image can be read")
    return ImageMemory(torch.from_numpy(images), unreadable)


def place_images(memory: ImageMemory, device: torch.device) -> ImageMemory:
    """Move the images to a CUDA device if they take less than a quarter of its free memory."""
    if device.type != "cuda" or memory.images.device == device:
        return memory
    free, _ = torch.cuda.mem_get_info(device)
    if memory.images.nbytes > free / 4:
        logger.info("The device has %s free: images stay in the CPU's memory", _mib(free))
        return memory
    return ImageMemory(memory.images.to(device), memory.unreadable)


def _pixels(
    source: ImageSource,
    index: int,
    num_channels: int,
    unreadable: dict[int, str] | None = None,
    notes: list[Note] | None = None,
) -> npt.NDArray[np.uint8] | None:
    """Return an image (H, W, C), or None if it cannot be read."""
    loaded = load_or_reason(source, index, notes)
    if isinstance(loaded, str):
        if unreadable is not None:
            unreadable[index] = loaded
        return None
    try:
        prepared = worker.prepare(loaded, num_channels)
    except ValueError as error:  # the first stage raises the same error
        raise NotPossible(f"'{shown(source.name(index))}': {error}") from error
    pixels = np.asarray(prepared)
    if pixels.dtype != np.uint8:
        raise NotPossible(f"'{shown(source.name(index))}' has more than 8 bit a channel")
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def _whole_size(source: ImageSource, shape: tuple[int, ...], most: int) -> int:
    """Return the bytes of all images if each has this shape."""
    num_bytes = len(source) * int(np.prod(shape))
    if num_bytes > most:
        raise NotPossible(f"all images together are {_mib(num_bytes)}, more than {_mib(most)}")
    return num_bytes


def _same_size(name: str, shape: tuple[int, ...], first: str, first_shape: tuple[int, ...]) -> None:
    if shape != first_shape:
        raise NotPossible(
            f"'{shown(name)}' has {shape[1]} x {shape[0]} pixels, "
            f"'{shown(first)}' has {first_shape[1]} x {first_shape[0]}"
        )


def _refused(found: NotPossible) -> str:
    return (
        f"config.in_memory: true is not possible: {found}; expected the built-in transform and "
        f"8-bit images of one size, at most {MAX_SIDE} pixels a side and "
        f"{_mib(max_bytes())} together; remove in_memory, or set it to false"
    )


def _mib(num_bytes: int) -> str:
    size = num_bytes / 2**20
    return f"{size:,.0f} MiB" if size >= 10 else f"{size:.2g} MiB"
