"""The index of a shard: where in its file the images are."""

from __future__ import annotations

import io
from typing import IO

import numpy as np
import numpy.typing as npt
from attrs import define

#: Raised when the content of stored indexes changes.
VERSION = 1


@define(eq=False)
class ShardIndex:
    """The images of one shard, in their order.

    Attributes:
        offsets: Byte at which each image begins, (N,) int64.
        sizes: Bytes of each image, (N,) int64.
        names: Packed names of the images, see `lightly_core.data.packed.packed`.
        labels: Packed texts of their classes, each empty without one.
        without_image: Number of samples that have no image.
        problem: Why the shard could not be read to its end; empty: it could.
    """

    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    names: bytes
    labels: bytes
    without_image: int = 0
    problem: str = ""

    def __len__(self) -> int:
        return len(self.offsets)


def read_index(file: IO[bytes]) -> ShardIndex:
    """Read what `write_index` has written.

    Raises:
        Exception: It is damaged.
    """
    with np.load(file, allow_pickle=False) as arrays:
        return ShardIndex(
            arrays["offsets"],
            arrays["sizes"],
            arrays["names"].tobytes(),
            arrays["labels"].tobytes(),
            int(arrays["without_image"]),
            str(arrays["problem"]),
        )


def write_index(index: ShardIndex, file: IO[bytes]) -> None:
    """Write an index for later runs, at the place where the file is."""
    buffer = io.BytesIO()  # NumPy writes a zip, whose positions count from the start of a file
    np.savez(
        buffer,
        offsets=index.offsets,
        sizes=index.sizes,
        names=np.frombuffer(index.names, np.uint8),
        labels=np.frombuffer(index.labels, np.uint8),
        without_image=index.without_image,
        problem=index.problem,
    )
    file.write(buffer.getbuffer())
