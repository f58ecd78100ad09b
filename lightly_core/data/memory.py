"""Keeps small images of one size in memory: decodes them. `memory_choice` says whether.

For data sets such as CIFAR. There, decoding and passing every view between processes take far
longer than a training step. With all pixels in one tensor neither is needed.
"""

from __future__ import annotations

import logging
import time

import numpy as np
import numpy.typing as npt
import torch
from attrs import define
from torch import Tensor

from lightly_core.config.auto.memory import MemoryChoice
from lightly_core.data.base import ImageSource
from lightly_core.data.library_messages import Note, NoteLog
from lightly_core.data.memory_choice import (
    NotPossible,
    load_pixels,
    max_bytes,
    mib,
    refused,
    same_size,
    whole_size,
)
from lightly_core.errors import ConfigError
from lightly_core.progress import tracked

logger = logging.getLogger(__name__)


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
                raise ConfigError(refused(found)) from found
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
        pixels = load_pixels(source, index, num_channels, unreadable, notes)
        log.add(notes)
        notes.clear()
        if pixels is None:
            continue
        if images is None:
            whole_size(source, pixels.shape, max_bytes())
            height, width, channels = pixels.shape
            images = np.zeros((len(source), height, channels, width), np.uint8)
            first, shape = source.name(index), pixels.shape
        same_size(source.name(index), pixels.shape, first, shape)
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
        logger.info("The device has %s free: images stay in the CPU's memory", mib(free))
        return memory
    return ImageMemory(memory.images.to(device), memory.unreadable)
