"""Writes the data sets as folders of classes, from the forms in which they are at hand."""

from __future__ import annotations

import gzip
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

#: Training images of each class of the digits. The others are test images.
_DIGITS_TRAIN = 100


def unpack_archive(archive: Path, folder: Path) -> None:
    """Unpack a tar file, which has a folder of its own name."""
    with tarfile.open(archive) as opened:
        opened.extractall(folder.parent, filter="data")


def write_fashion(source: Path, folder: Path) -> None:
    """Write Fashion-MNIST (Xiao et al. 2017, arXiv 1708.07747), which has images of 28 x 28 pixels.

    Args:
        source: Folder of the four files as published. Debian's package `dataset-fashion-mnist`
            installs it in `/usr/share/datasets`.
        folder: Where `train` and `test` are made.
    """
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images = _idx(source / f"{prefix}-images-idx3-ubyte.gz")
        labels = _idx(source / f"{prefix}-labels-idx1-ubyte.gz")
        _write(folder / split, images, labels)


def write_digits(_source: Path, folder: Path) -> None:
    """Write the digits of scikit-learn, 8 x 8 pixels, split by their order."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = np.round(found.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8)
    train = np.zeros(len(images), dtype=bool)
    for label in np.unique(found.target):
        train[np.flatnonzero(found.target == label)[:_DIGITS_TRAIN]] = True
    for split, chosen in (("train", train), ("test", ~train)):
        _write(folder / split, images[chosen], found.target[chosen])


def _idx(path: Path) -> np.ndarray:
    """Return the array of a file in the format of MNIST."""
    data = gzip.decompress(path.read_bytes())
    # Two zeros, the type (8: uint8), the number of dimensions, and their sizes, big endian.
    if data[:3] != b"\0\0\x08":
        raise ValueError(f"{path} has no unsigned bytes in the format of MNIST")
    shape = np.frombuffer(data, ">u4", count=data[3], offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def _write(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Write images (N, H, W) uint8 as PNG, numbered within their class (N,)."""
    numbers: Counter[int] = Counter()
    for pixels, label in zip(images, labels.tolist(), strict=True):
        place = folder / str(label) / f"{numbers[label]:05}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place)
        numbers[label] += 1
