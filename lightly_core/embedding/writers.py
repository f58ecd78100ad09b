"""Writers of features to files. They keep only the names of the images in memory.

CSV and Parquet are written row by row. The formats of torch and numpy store the number of rows
before the rows. It is known only at the end, since unreadable images are skipped, so their rows
are first written to a temporary file.

Shapes: B images of one call, N images in all; ``shape`` is that of one image's features, (D,) or
(D, h, w).
"""

from __future__ import annotations

import importlib
import json
import math
import shutil
import tempfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lightly_core.parts.files import save_torch

#: Key of the Parquet file's metadata under which the shape of one image's features is kept.
SHAPE_KEY = "lightly.shape"

_ROW_GROUP_BYTES = 8 << 20
_NAMES_PER_WRITE = 4096
_COPY_BYTES = 1 << 20


class FeatureWriter(ABC):
    """Writes the features of images in the order in which they are added.

    Args:
        path: The file; it is created, or overwritten if it exists.
        shape: Shape of one image's features.
    """

    @abstractmethod
    def __init__(self, path: Path, shape: tuple[int, ...]) -> None: ...

    @abstractmethod
    def add(self, names: Sequence[str], features: npt.NDArray[np.float32]) -> None:
        """Write some images.

        Args:
            names: Names of the images, B texts of valid Unicode.
            features: (B, D) or (B, D, h, w), little-endian float32.
        """

    @abstractmethod
    def finish(self) -> None:
        """Write the remaining data; `add` must not be called afterwards."""

    @abstractmethod
    def close(self) -> None:
        """Release all files, also after an error."""


@contextmanager
def open_writer(file_format: str, path: Path, shape: tuple[int, ...]) -> Iterator[FeatureWriter]:
    """Yield a writer that is finished if there was no error, and always closed.

    Args:
        file_format: A format of `EmbedConfig.format` other than "auto".
        path: The file to write.
        shape: Shape of one image's features.
    """
    with finished(_WRITERS[file_format](path, shape)) as writer:
        yield writer


@contextmanager
def finished(writer: FeatureWriter) -> Iterator[FeatureWriter]:
    """Yield a writer that is finished if there was no error, and always closed."""
    try:
        yield writer
        writer.finish()
    finally:
        writer.close()


class CsvWriter(FeatureWriter):
    """Columns ``filename,embedding_0,...``; with nine digits float32 is restored exactly.

    Args:
        path: The file.
        shape: (D,).
    """

    _names, _last, _last_value = "filename", "", ""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        (dim,) = shape
        self._file = open(path, "w", encoding="utf-8", newline="")  # noqa: SIM115
        self._format = ",%.9g" * dim + f"{self._last_value}\n"
        self._file.write(self._names)
        self._file.writelines(f",embedding_{column}" for column in range(dim))
        self._file.write(f"{self._last}\n")

    def add(self, names: Sequence[str], features: npt.NDArray[np.float32]) -> None:
        """Write one line per image."""
        rows = zip(names, features.tolist(), strict=True)
        self._file.writelines(_quoted(name) + self._format % tuple(row) for name, row in rows)

    def finish(self) -> None:
        """Flush Python's buffer."""
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class LightlyCsvWriter(CsvWriter):
    """Columns ``filenames,embedding_0,...,labels``, as LightlyTrain writes; labels are 0.

    Args:
        path: The file.
        shape: (D,).
    """

    _names, _last, _last_value = "filenames", ",labels", ",0"


class ParquetWriter(FeatureWriter):
    """Columns ``filename`` and ``embedding``, a list of fixed length.

    Features of more than one axis are flattened; their shape is in the file's metadata, as JSON
    under `SHAPE_KEY`.

    Args:
        path: The file.
        shape: Shape of one image's features.
        metadata: Further metadata of the file.
    """

    def __init__(
        self, path: Path, shape: tuple[int, ...], metadata: Mapping[str, str] | None = None
    ) -> None:
        # Imported here: pyarrow is optional and has no types.
        self._arrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
        self._dim = math.prod(shape)
        self._schema = self._arrow.schema(
            [
                ("filename", self._arrow.string()),
                ("embedding", self._arrow.list_(self._arrow.float32(), self._dim)),
            ],
            metadata={SHAPE_KEY: json.dumps(list(shape)), **(metadata or {})},
        )
        self._names: list[str] = []
        self._features: list[npt.NDArray[np.float32]] = []
        # Features are rarely equal, so a dictionary would only take time.
        self._writer = parquet.ParquetWriter(path, self._schema, use_dictionary=False)

    def add(self, names: Sequence[str], features: npt.NDArray[np.float32]) -> None:
        """Buffer the rows until they fill a row group of 8 MiB."""
        self._names += names
        self._features.append(features)
        if len(self._names) * self._dim * 4 >= _ROW_GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        if not self._names:
            return
        values = self._arrow.array(np.concatenate(self._features).reshape(-1))
        columns = [
            self._arrow.array(self._names, self._arrow.string()),
            self._arrow.FixedSizeListArray.from_arrays(values, self._dim),
        ]
        table = self._arrow.Table.from_arrays(columns, schema=self._schema)
        self._writer.write_table(table, row_group_size=len(self._names))
        self._names, self._features = [], []

    def finish(self) -> None:
        """Write the last row group."""
        self._write_group()

    def close(self) -> None:
        """Write the footer and close the file."""
        self._writer.close()


class _ArrayWriter(FeatureWriter):
    """Collects features in an unnamed temporary file, which is removed even after a crash."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self._path = path
        self._shape = shape
        self._names: list[str] = []
        # In the output's folder: the default for temporary files may be small, or in memory.
        self._rows = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115

    def add(self, names: Sequence[str], features: npt.NDArray[np.float32]) -> None:
        """Append the features to the temporary file."""
        self._names += names
        self._rows.write(np.ascontiguousarray(features).data)

    def close(self) -> None:
        """Remove the temporary file."""
        self._rows.close()

    def _array(self) -> npt.NDArray[np.float32]:
        """Return all features, (N, D) or (N, D, h, w), as a view of the temporary file."""
        shape = (len(self._names), *self._shape)
        self._rows.flush()
        if 0 in shape:
            return np.empty(shape, "<f4")
        return np.memmap(self._rows, "<f4", "r+", shape=shape)


class TorchWriter(_ArrayWriter):
    """A dict for `torch.load` with ``filenames``, a list, and ``embeddings``, a tensor.

    Args:
        path: The file.
        shape: Shape of one image's features.
    """

    def finish(self) -> None:
        """Write the file."""
        content = {"filenames": self._names, "embeddings": torch.from_numpy(self._array())}
        save_torch(content, self._path)


class NpzWriter(_ArrayWriter):
    """Arrays for `numpy.load`: ``filenames`` (N,) and ``embeddings``.

    Args:
        path: The file.
        shape: Shape of one image's features.
    """

    def finish(self) -> None:
        """Write the file as `numpy.savez` would, but in pieces."""
        names = self._names
        kind = f"<U{max(map(len, names), default=1)}"
        with zipfile.ZipFile(self._path, "w") as archive:
            with _member(archive, "filenames", kind, (len(names),)) as member:
                for start in range(0, len(names), _NAMES_PER_WRITE):
                    part = np.array(names[start : start + _NAMES_PER_WRITE], kind)
                    member.write(part.tobytes())
            with _member(archive, "embeddings", "<f4", (len(names), *self._shape)) as member:
                self._rows.seek(0)
                shutil.copyfileobj(self._rows, member, _COPY_BYTES)


@contextmanager
def _member(
    archive: zipfile.ZipFile, name: str, kind: str, shape: tuple[int, ...]
) -> Iterator[Any]:
    """Open an array of an npz file for writing, positioned after its header."""
    # A `ZipInfo` has a fixed date, so that equal features give equal files.
    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
        header = {"descr": kind, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(member, header)
        yield member


def _quoted(name: str) -> str:
    """Return a name as a CSV field."""
    if not any(character in name for character in ',"\r\n'):
        return name
    return '"' + name.replace('"', '""') + '"'


_WRITERS: dict[str, type[FeatureWriter]] = {
    "csv": CsvWriter,
    "lightly_csv": LightlyCsvWriter,
    "parquet": ParquetWriter,
    "torch": TorchWriter,
    "npz": NpzWriter,
}
