"""Images from Python objects: the user's datasets and the built-in digits."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from lightly_core.data.base import ImageSource, Labels
from lightly_core.data.decode import convert, upright
from lightly_core.data.pixels import UnreadableImage, ValueRange, fit_channels, to_unit


class MapDataset(Protocol):
    """The interface of a map-style `torch.utils.data.Dataset`."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> object: ...


class DatasetSource(ImageSource):
    """A map-style dataset; its items are images, or tuples or dicts that begin with one.

    An image is a Pillow image, an array (H, W) or (H, W, C), or a tensor (H, W) or (C, H, W). Its
    type is uint8, uint16, or float in [0, 1]; with `value_range` any integer or float type. Of a
    dict the entry ``"image"`` is used, or else the first one. Classes come from the attribute
    ``targets`` or ``labels``, and their names from ``classes``. Items are not read to find them.

    Args:
        dataset: The user's object.
        num_channels: Channels to return, C.
        value_range: Pixel values that become black and white; see `to_unit`.
    """

    def __init__(
        self, dataset: MapDataset, *, num_channels: int = 3, value_range: ValueRange = None
    ) -> None:
        self.dataset = dataset
        self.value_range = value_range
        self.num_channels = num_channels
        self._length = len(dataset)

    def __len__(self) -> int:
        return self._length

    def name(self, index: int) -> str:
        """Return the class of the dataset and the position, such as ``CIFAR10/17``."""
        return f"{type(self.dataset).__name__}/{index}"

    def load(self, index: int) -> Image.Image | npt.NDArray[Any]:
        """Read an item of the dataset and convert its image."""
        image = _first(self.dataset[index])
        if isinstance(image, Image.Image):
            return convert(upright(image), self.num_channels, self.value_range)
        pixels = _pixels(image, self.value_range)
        _refuse_channels_first(pixels, image, self.num_channels)
        return fit_channels(pixels, self.num_channels)

    def labels(self) -> Labels | None:
        """Return ``dataset.targets`` or ``dataset.labels`` if they hold a class per image."""
        for attribute in ("targets", "labels"):
            given = getattr(self.dataset, attribute, None)
            labels = self._as_labels(given, attribute) if given is not None else None
            if labels is not None:
                return labels
        return None

    def why_no_labels(self) -> str:
        """Return the reason why `labels` returns None, as text for the user."""
        return "the dataset has no attribute 'targets' or 'labels' with two classes or more"

    def _as_labels(self, given: object, attribute: str) -> Labels | None:
        try:
            values = np.asarray(given)
        except (TypeError, ValueError):
            return None  # some datasets use the name for something else
        if values.shape != (len(self),) or values.dtype.kind not in "iuU":
            return None
        present, targets = np.unique(values, return_inverse=True)
        if len(present) < 2 or (values.dtype.kind != "U" and present[0] < 0):
            return None  # negative numbers commonly mean "no label"
        origin = f"attribute '{attribute}' of {type(self.dataset).__name__}"
        names = getattr(self.dataset, "classes", None)
        if (
            isinstance(names, (list, tuple))
            and values.dtype.kind != "U"
            and int(present[-1]) < len(names)
        ):
            return Labels(values.astype(np.int64), tuple(map(str, names)), origin)
        return Labels(targets.astype(np.int64), tuple(map(str, present)), origin)


class DigitsSource(ImageSource):
    """The 1,797 scanned handwritten digits of 8x8 pixels that scikit-learn includes.

    From the UCI "Optical Recognition of Handwritten Digits" data (Alpaydin and Kaynak 1998).
    Their 17 grey values are scaled to 0 to 255.

    Args:
        num_channels: Channels to return, C.
    """

    def __init__(self, *, num_channels: int = 3) -> None:
        self.num_channels = num_channels
        self._images, self._targets = _digits()

    def __len__(self) -> int:
        return len(self._images)

    def name(self, index: int) -> str:
        """Return ``digits/0017``."""
        return f"digits/{index:04d}"

    def load(self, index: int) -> Image.Image | npt.NDArray[Any]:
        """Return one digit, bright on black as it is stored."""
        return convert(Image.fromarray(self._images[index]), self.num_channels)

    def labels(self) -> Labels:
        """Return the digits as classes."""
        return Labels(self._targets, tuple("0123456789"), "the digits' values")


@functools.cache  # scikit-learn parses them from a text file, 30 ms
def _digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return images (1797, 8, 8) and the digits that they show; not to be modified."""
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]

    digits = load_digits()
    return np.rint(digits.images * (255 / 16)).astype(np.uint8), digits.target.astype(np.int64)


def _first(item: object) -> object:
    """Return the image of a dataset's item."""
    if isinstance(item, Mapping):
        if not item:
            raise UnreadableImage("an empty dict")
        return item["image"] if "image" in item else next(iter(item.values()))
    if isinstance(item, (tuple, list)):
        if not item:
            raise UnreadableImage("an empty tuple")
        return item[0]
    return item


def _refuse_channels_first(pixels: npt.NDArray[Any], image: object, num_channels: int) -> None:
    if isinstance(image, np.ndarray) and pixels.ndim == 3:
        first, last = pixels.shape[0], pixels.shape[2]
        if first == num_channels != last and last > 4:
            raise UnreadableImage(
                f"an array of shape {pixels.shape}, expected (height, width, channels); return "
                "array.transpose(1, 2, 0), or a tensor, whose channels come first"
            )


def _pixels(image: object, value_range: ValueRange) -> npt.NDArray[Any]:
    """Return an array (H, W) or (H, W, C), uint8 or float32 in [0, 1]."""
    pixels: npt.NDArray[Any]
    if isinstance(image, np.ndarray):
        pixels = image
    elif hasattr(image, "detach"):  # a tensor, without importing torch here
        pixels = image.detach().cpu().numpy()
        if pixels.ndim == 3:
            pixels = pixels.transpose(1, 2, 0)  # (H, W, C)
    else:
        raise UnreadableImage(
            f"a {type(image).__name__}, expected a Pillow image, an array or a tensor"
        )
    if pixels.size == 0:
        raise UnreadableImage(f"not an image: shape {pixels.shape}")
    known = pixels.dtype in (np.uint8, np.uint16) or pixels.dtype.kind == "f"
    if not known and (value_range is None or pixels.dtype.kind not in "iu"):
        raise UnreadableImage(f"pixels of type {pixels.dtype}, expected uint8 or float in [0, 1]")
    return to_unit(pixels, value_range=value_range)
