"""The contract of data sources: a numbered collection of images, and what opens it by its text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image


@dataclass(frozen=True)
class Labels:
    """The class of every image.

    Attributes:
        targets: Class numbers (N,) int64, each in [0, len(classes)), or -1 without a class.
        classes: Name of each class.
        origin: Where the labels come from, as text for the user.
    """

    targets: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    origin: str


class ImageSource(ABC):
    """A numbered collection of images. Picklable, and cheap to share with forked workers.

    Image i is the same at every call, in every process and worker. The number of processes and
    workers, a resumed run and the replacement of unreadable images rely on it. What `load` opens,
    such as a file or a connection, it must open in the process that calls it.

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
                reason. Another image replaces it.
            DataError: No image can be read at present, since a server is away for example. A run
                stops.
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

    def read(self, index: int) -> bytes | None:
        """Return the encoded file of an image, by which images are compared without decoding them.

        None if images are not stored as files. It raises the errors of `load`.
        """
        return None

    def labels(self) -> Labels | None:
        """Return the class of every image, or None if the data has no classes."""
        return None

    def why_no_labels(self) -> str:
        """Return the reason why `labels` returns None, as text for the user."""
        return "the images have no classes"

    def begin_epoch(self, seed: int, epoch: int) -> None:  # noqa: B027 - optional
        """Prepare to load images in the order of an epoch, in the process that loads them.

        The arguments are those of `order`. It is called before the first image of an epoch.
        """

    def order(self, seed: int, epoch: int) -> npt.NDArray[np.int64] | None:
        """Return the positions of all images in the order of an epoch.

        A source that reads neighbours faster than images at random returns an order in which
        images close to each other are read together. It is a pure function of its arguments and
        of the images, see `lightly_core.data.sampler.windowed_order`.

        Args:
            seed: Seed of the run.
            epoch: Number of the epoch, from 0.

        Returns:
            A permutation (N,) int64; None: any image is as fast to read as another one, and the
            order is uniformly random.
        """
        return None


@dataclass(frozen=True)
class ImageRequest:
    """How a run wants its images, for sources that decode files.

    Attributes:
        num_channels: Channels that images are converted to, C.
        min_side: Shorter side in pixels below which JPEGs are not shrunk while they are decoded;
            see `lightly_core.data.decode.smallest_useful_side`. None: never shrink.
        value_range: Pixel values that become black and white; see
            `lightly_core.data.pixels.to_unit`.
    """

    num_channels: int = 3
    min_side: int | None = None
    value_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class ExampleImage:
    """An image of a small data set for checks.

    Attributes:
        name: Path with ``/`` below a folder, such as ``cat/03.png``.
        data: Content of the file.
        label: Its class.
    """

    name: str
    data: bytes
    label: str


class SourceLibrary(ABC):
    """Opens images by text such as ``wds:shards/{000..127}.tar``; the target of a `SourceRecord`.

    It is built without arguments.
    """

    @abstractmethod
    def open(self, places: Sequence[str], options: Any, request: ImageRequest) -> ImageSource:  # noqa: ANN401
        """Find the images.

        Args:
            places: At least one text of the user without options. A prefix such as ``wds:`` is
                removed. A scheme such as ``s3://`` is not.
            options: Instance of the option class of the record.
            request: How images are decoded.

        Returns:
            A source of at least one image.

        Raises:
            DataError: A place does not exist or cannot be read, or there is no image.
        """

    @abstractmethod
    def example(self, folder: Path, images: Sequence[ExampleImage]) -> str:
        """Write a small data set for the checks of `lightly_core.testing`.

        Args:
            folder: An empty folder of this machine.
            images: The images, in their order.

        Returns:
            The text of the setting `data` that opens it, with these images in this order, and with
            their classes if the kind of source can have classes.
        """
