"""The bases of sources that decode files."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy.typing as npt
from PIL import Image

from lightly_core.contracts.source import ImageRequest, ImageSource
from lightly_core.data.decode import LeastScale, decode_bytes


class DecodedSource(ImageSource):
    """Images that are decoded from files.

    Args:
        request: How images are decoded.
    """

    def __init__(self, request: ImageRequest) -> None:
        self.num_channels = request.num_channels
        self.min_side = request.min_side
        self.value_range = request.value_range

    def load(self, index: int) -> Image.Image | npt.NDArray[Any]:
        """Decode one image; see `lightly_core.data.decode.decode`."""
        side = self.min_side
        return self._decode(index, None if side is None else lambda size: side / min(size))

    def load_shrunk(self, index: int, least_scale: LeastScale) -> Image.Image | npt.NDArray[Any]:
        """Decode one image; a JPEG is shrunk as far as `least_scale` allows."""
        return self._decode(index, least_scale)

    @abstractmethod
    def _decode(self, index: int, least_scale: LeastScale | None) -> Image.Image | npt.NDArray[Any]:
        """Decode one image; None: at its full size."""


class EncodedSource(DecodedSource):
    """Images by their encoded bytes. Their pixels equal those of the same files in a folder."""

    @abstractmethod
    def read(self, index: int) -> bytes:
        """Return the encoded file of an image.

        Raises:
            Exception: The image cannot be read. The text of an `UnreadableImage` is a short
                reason.
        """

    def _decode(self, index: int, least_scale: LeastScale | None) -> Image.Image | npt.NDArray[Any]:
        return decode_bytes(
            self.read(index),
            self.num_channels,
            least_scale=least_scale,
            value_range=self.value_range,
        )
