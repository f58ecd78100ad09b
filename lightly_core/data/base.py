"""The interface of a collection of images, `ImageSource`, and its labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image


@dataclass(frozen=True)
class Labels:
    """The class of every image.

    Attributes:
        targets: Class numbers (N,) int64, each in [0, len(classes)).
        classes: Name of each class.
        origin: Where the labels come from, as text for the user.
    """

    targets: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    origin: str


class ImageSource(ABC):
    """A numbered collection of images. Picklable, and cheap to share with forked workers.

    Attributes:
        num_channels: Channels of the images that `load` returns, C.
    """

    num_channels: int = 3

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of images."""

    @abstractmethod
    def name(self, index: int) -> str:
        """Return the name to show to users: a relative path with ``/``, or a stable id."""

    @abstractmethod
    def load(self, index: int) -> Image.Image | npt.NDArray[Any]:
        """Decode one image.

        Returns:
            A Pillow image in mode L or RGB, or an array (H, W, C), uint8, or float32 in [0, 1].

        Raises:
            Exception: The image cannot be read. The text of an `UnreadableImage` is a short
                reason.
        """

    def load_shrunk(
        self, index: int, least_scale: Callable[[tuple[int, int]], float]
    ) -> Image.Image | npt.NDArray[Any]:
        """Decode one image, perhaps smaller than it is, as in `load`.

        Args:
            index: Position of the image.
            least_scale: Gets the image's (height, width) before it is decoded. Returns the fraction
                of its sides, in (0, 1], to which it may be shrunk. A source that cannot shrink
                images does not call it.
        """
        return self.load(index)

    def labels(self) -> Labels | None:
        """Return the class of every image, or None if the data has no classes."""
        return None
