"""The index of a shard: where in a tar file the image of each sample is."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from typing import IO

import numpy as np

from lightly_core.data.endings import is_image_name
from lightly_core.data.packed import packed
from lightly_core.data.shards.index import ShardIndex
from lightly_webdataset.config import WebDatasetArgs

_MOST_LABEL_BYTES = 1 << 20


def scan(file: IO[bytes], options: WebDatasetArgs) -> ShardIndex:
    """Read the headers of a tar file, and the files with classes.

    Args:
        file: A tar file without compression, at its beginning; it can be searched.
        options: Which files of a sample are used.
    """
    offsets, sizes = list[int](), list[int]()
    names, labels = list[str](), list[str]()
    without = 0
    members = _Members(file)
    for sample in _samples(members):
        image = _image(sample, options.image)
        if image is None:
            without += 1
            continue
        offsets.append(image.offset_data)
        sizes.append(image.size)
        names.append(image.name.replace("\0", ""))
        labels.append(_label(sample, options.label, file))
    return ShardIndex(
        np.asarray(offsets, np.int64),
        np.asarray(sizes, np.int64),
        packed(names),
        packed(labels),
        without,
        members.problem,
    )


class _Members:
    """The regular files of a tar file, in their order.

    Args:
        file: The tar file.

    Attributes:
        problem: Why it could not be read to its end.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.problem = ""
        self._file = file

    def __iter__(self) -> Iterator[tarfile.TarInfo]:
        try:
            with tarfile.open(fileobj=self._file, mode="r:") as tar:
                while (member := tar.next()) is not None:
                    tar.members = []  # type: ignore[attr-defined] # or it keeps them all
                    if member.isreg() and not member.issparse():
                        yield member
        except (tarfile.TarError, OSError, EOFError, ValueError) as error:
            self.problem = f"{type(error).__name__}: {error}"


def _samples(members: _Members) -> Iterator[dict[str, tarfile.TarInfo]]:
    """Yield the files of each sample by extension.

    As in WebDataset, files that follow each other and share their path up to the first dot of the
    file name form a sample, the rest is the extension, and names such as ``__meta__`` are no
    samples.
    """
    from webdataset.tariterators import base_plus_ext

    key: str | None = None
    sample: dict[str, tarfile.TarInfo] = {}
    for member in members:
        base, extension = base_plus_ext(member.name)
        name = member.name.rpartition("/")[2]
        if base is None or (name.startswith("__") and name.endswith("__")):
            continue
        if base != key and sample:
            yield sample
            sample = {}
        key = base
        sample[extension.lower()] = member
    if sample:
        yield sample


def _image(sample: dict[str, tarfile.TarInfo], wanted: str | None) -> tarfile.TarInfo | None:
    if wanted is not None:
        extensions = wanted.lower().split(";")
        return next((sample[one] for one in extensions if one in sample), None)
    found = [extension for extension in sample if is_image_name(f"x.{extension}")]
    # A mask such as `seg.png` is not the image where there is a plain `jpg` too.
    return sample[min(found, key=lambda extension: "." in extension)] if found else None


def _label(sample: dict[str, tarfile.TarInfo], wanted: str, file: IO[bytes]) -> str:
    extension, _, field = wanted.partition(":")
    member = sample.get(extension.lower())
    if member is None or member.size > _MOST_LABEL_BYTES:
        return ""
    file.seek(member.offset_data)  # `tarfile` seeks the next header itself
    text = file.read(member.size).decode("utf-8", "replace")
    if field:
        try:
            value = json.loads(text)[field]
        except (ValueError, KeyError, TypeError):
            return ""
        text = "" if value is None else str(value)
    return text.strip().replace("\0", "")
