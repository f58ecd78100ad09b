"""Decides whether images are kept in memory, from the settings and a few images. No torch here."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lightly_core.config.auto.machine import memory_bytes
from lightly_core.config.auto.memory import MemoryChoice, unseen
from lightly_core.config.options.transform import TransformArgs
from lightly_core.config.reading.load import Settings
from lightly_core.data.base import ImageSource
from lightly_core.data.channels import prepare
from lightly_core.data.library_messages import Note
from lightly_core.data.loading import load_or_reason
from lightly_core.data.names import shown
from lightly_core.errors import ConfigError
from lightly_core.plugins.loading import load_target

#: Longest side of images and views, in pixels, up to which this is faster on a CPU.
AUTO_SIDE = 64
#: Longest side of images with ``in_memory=true``; the work grows with the cube of the side.
MAX_SIDE = 128
#: Maximum size of all images together in bytes; also at most a quarter of the machine's memory.
MAX_BYTES = 1 << 30

_NUM_INSPECTED = 16


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
            raise ConfigError(refused(found)) from found
        return MemoryChoice(use=False, reason=str(found))
    return MemoryChoice(use=True, required=wanted is True, reason=reason)


def max_bytes() -> int:
    """Return how many bytes of images may be kept: 1 GiB, or a quarter of a small memory."""
    whole = memory_bytes()
    return MAX_BYTES if whole is None else min(MAX_BYTES, whole // 4)


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
        pixels = load_pixels(source, index, num_channels)
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
        same_size(name, pixels.shape, *first)
        again = load_pixels(source, index, num_channels)
        if again is None or not np.array_equal(pixels, again):
            raise NotPossible(f"'{shown(name)}' changes each time it is loaded")
    if first is None:
        raise NotPossible("none of the inspected images can be read")
    height, width, _ = first[1]
    num_bytes = whole_size(source, first[1], limits.num_bytes)
    return f"all images have {width} x {height} pixels and are {mib(num_bytes)} together"


def load_pixels(
    source: ImageSource,
    index: int,
    num_channels: int,
    unreadable: dict[int, str] | None = None,
    notes: list[Note] | None = None,
) -> npt.NDArray[np.uint8] | None:
    """Return an image (H, W, C) uint8, or None if it cannot be read.

    Args:
        source: The images.
        index: Position of the image.
        num_channels: Channels to return, C.
        unreadable: The reason is added to it if the image cannot be read.
        notes: Messages of image libraries are appended to it.

    Raises:
        NotPossible: The channels do not fit, or the image has more than 8 bit a channel.
    """
    loaded = load_or_reason(source, index, notes)
    if isinstance(loaded, str):
        if unreadable is not None:
            unreadable[index] = loaded
        return None
    try:
        prepared = prepare(loaded, num_channels)
    except ValueError as error:  # the first stage raises the same error
        raise NotPossible(f"'{shown(source.name(index))}': {error}") from error
    pixels = np.asarray(prepared)
    if pixels.dtype != np.uint8:
        raise NotPossible(f"'{shown(source.name(index))}' has more than 8 bit a channel")
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def whole_size(source: ImageSource, shape: tuple[int, ...], most: int) -> int:
    """Return the bytes of all images if each has this shape.

    Raises:
        NotPossible: They are more than `most`.
    """
    num_bytes = len(source) * int(np.prod(shape))
    if num_bytes > most:
        raise NotPossible(f"all images together are {mib(num_bytes)}, more than {mib(most)}")
    return num_bytes


def same_size(name: str, shape: tuple[int, ...], first: str, first_shape: tuple[int, ...]) -> None:
    """Refuse an image of another size than the first.

    Raises:
        NotPossible: The shapes (H, W, C) differ.
    """
    if shape != first_shape:
        raise NotPossible(
            f"'{shown(name)}' has {shape[1]} x {shape[0]} pixels, "
            f"'{shown(first)}' has {first_shape[1]} x {first_shape[0]}"
        )


def refused(found: NotPossible) -> str:
    """Return the error text for ``in_memory=true`` that is not possible."""
    return (
        f"config.in_memory: true is not possible: {found}; expected the built-in transform and "
        f"8-bit images of one size, at most {MAX_SIDE} pixels a side and "
        f"{mib(max_bytes())} together; remove in_memory, or set it to false"
    )


def mib(num_bytes: int) -> str:
    """Return a number of bytes in MiB, for messages."""
    size = num_bytes / 2**20
    return f"{size:,.0f} MiB" if size >= 10 else f"{size:.2g} MiB"
