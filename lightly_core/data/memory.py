"""Small images of one size, decoded once and kept: whether that is possible, and doing it.

For data sets such as CIFAR. Decoding, and handing every view from process to process, take far
longer there than a step of training; with all pixels in one tensor neither is needed any more.
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
from lightly_core.data.dataset import load_or_reason
from lightly_core.data.heard import Note, NoteLog
from lightly_core.data.names import shown
from lightly_core.data.views import worker
from lightly_core.errors import ConfigError
from lightly_core.plugins.loading import load_target

logger = logging.getLogger(__name__)

#: Longest side of images and views, in pixels, for which a processor makes views faster this way.
AUTO_SIDE = 64
#: Longest side of images that can be asked for; the work grows with the cube of the side.
MOST_SIDE = 128
#: Most bytes of all images together; at most a quarter of the memory that there is, too.
MOST_BYTES = 1 << 30

_NUM_LOOKED_AT = 16
_SECONDS_BETWEEN_REPORTS = 10.0


@define(eq=False)
class ImageMemory:
    """All images of a source.

    Attributes:
        images: (N, H, C, W) uint8; zeros where an image cannot be read. The order of the axes is
            that in which `resample` needs no transposition.
        unreadable: Why an image cannot be read, by its position.
    """

    images: Tensor
    unreadable: dict[int, str]

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.images.shape[1], self.images.shape[3]


class NotPossible(Exception):
    """Images cannot be kept in memory; the text says why."""


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
    """Say what the setting `in_memory` comes to, by a look at a few images.

    Depends on settings, images and the machine's whole memory only, not on what is free, so that
    a resumed run goes the same way.

    Raises:
        ConfigError: ``in_memory=true`` is not possible.
    """
    wanted = settings.run.in_memory
    if wanted is False:
        return unseen(False)
    view_side = None if wanted is True else AUTO_SIDE
    limits = Limits(MOST_SIDE if wanted is True else AUTO_SIDE, view_side, most_bytes())
    try:
        record = settings.transform_record
        if record is not None and not hasattr(load_target(record), "from_memory"):
            raise NotPossible(f"the {record.label} has no from_memory()")
        check_views(settings.transform, limits.view_side)
        reason = look(source, settings.transform.source_channels, limits)
    except NotPossible as found:
        if wanted is True:
            raise ConfigError(_refused(found)) from found
        return MemoryChoice(use=False, reason=str(found))
    return MemoryChoice(use=True, required=wanted is True, reason=reason)


def most_bytes() -> int:
    """Return how many bytes of images may be kept: 1 GiB, or a quarter of a small memory."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # no such question on this system
        return MOST_BYTES
    return min(MOST_BYTES, whole // 4)


def check_views(args: TransformArgs, most_side: int | None) -> None:
    """Refuse views that only a worker process can make.

    Raises:
        NotPossible: See above.
    """
    specs = args.view_specs()
    if args.channel_drop is not None:
        raise NotPossible("transform_args.channel_drop is on")
    if any(spec.random_rotation is not None for spec in specs):
        raise NotPossible("transform_args.random_rotation is on")
    longest = max(side for spec in specs for side in spec.size)
    if most_side is not None and longest > most_side:
        raise NotPossible(f"views have sides of {longest} pixels, more than {most_side}")


def look(source: ImageSource, num_channels: int, limits: Limits) -> str:
    """Load some images, twice each, and say in words what all are expected to be.

    Args:
        source: The images.
        num_channels: Channels that views are made of.
        limits: What may be kept.

    Raises:
        NotPossible: They are too large, too many, of several sizes, above 8 bit, or other ones
            each time; or none of those that were looked at can be read.
    """
    first: tuple[str, tuple[int, ...]] | None = None
    for index in np.unique(np.linspace(0, len(source) - 1, _NUM_LOOKED_AT).astype(int)).tolist():
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
            raise NotPossible(f"'{shown(name)}' is another image each time it is asked for")
    if first is None:
        raise NotPossible("none of the images looked at can be read")
    height, width, _ = first[1]
    num_bytes = _whole_size(source, first[1], limits.num_bytes)
    return f"all images have {width} x {height} pixels and are {_mib(num_bytes)} together"


# --------------------------------------------------------------------------- reading


def keep_images(source: ImageSource, num_channels: int, choice: MemoryChoice) -> ImageMemory | None:
    """Decode all images where that was chosen, and say in the log which way was taken.

    Returns:
        The images in the CPU's memory; None where worker processes are to read them.

    Raises:
        ConfigError: It was asked for, and an image is unlike the others.
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
    logger.info("Images are decoded each time they are shown, not kept in memory: %s", reason)
    return None


def read_all(source: ImageSource, num_channels: int) -> ImageMemory:
    """Decode all images of a source.

    Raises:
        NotPossible: They have several sizes or more than 8 bit, are more than `most_bytes`, or
            none can be read.
    """
    images: npt.NDArray[np.uint8] | None = None
    notes, log = list[Note](), NoteLog()
    first = ""
    unreadable: dict[int, str] = {}
    reported = time.monotonic()
    for index in range(len(source)):
        pixels = _pixels(source, index, num_channels, unreadable, notes)
        log.add(notes)
        notes.clear()
        if pixels is None:
            continue
        if images is None:
            _whole_size(source, pixels.shape, most_bytes())
            height, width, channels = pixels.shape
            images = np.zeros((len(source), height, channels, width), np.uint8)
            first, shape = source.name(index), pixels.shape
        _same_size(source.name(index), pixels.shape, first, shape)
        images[index] = pixels.transpose(0, 2, 1)
        if time.monotonic() - reported > _SECONDS_BETWEEN_REPORTS:
            reported = time.monotonic()
            logger.info("Decoded %d of %d images", index + 1, len(source))
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
    """Return an image (H, W, C), or None where it cannot be read."""
    loaded = load_or_reason(source, index, notes)
    if isinstance(loaded, str):
        if unreadable is not None:
            unreadable[index] = loaded
        return None
    try:
        prepared = worker.prepare(loaded, num_channels)
    except ValueError as error:  # the first stage will say so, too
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
        f"8-bit images of one size, at most {MOST_SIDE} pixels a side and "
        f"{_mib(most_bytes())} together; leave in_memory out, or set it to false"
    )


def _mib(num_bytes: int) -> str:
    size = num_bytes / 2**20
    return f"{size:,.0f} MiB" if size >= 10 else f"{size:.2g} MiB"
