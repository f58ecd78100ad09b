"""The images of a data set that is memory-mapped from files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lightly_core.contracts import ImageRequest, Labels
from lightly_core.data.encoded import EncodedSource
from lightly_core.data.pixels import UnreadableImage
from lightly_huggingface.columns import Columns, encoded, labels_of

if TYPE_CHECKING:
    from datasets import Dataset


class MappedSource(EncodedSource):
    """The rows of a data set.

    Args:
        dataset: The data set; its images are not decoded.
        title: Name of the data set, for the names of images.
        columns: The columns that are used.
        request: How images are decoded.
    """

    def __init__(
        self, dataset: Dataset, title: str, columns: Columns, request: ImageRequest
    ) -> None:
        super().__init__(request)
        self._title = title
        self._columns = columns
        self._classes = None if columns.label is None else dataset.select_columns(columns.label)
        self._images = dataset.select_columns(columns.image)

    def __len__(self) -> int:
        return len(self._images)

    def name(self, index: int) -> str:
        """Return the name of the data set and the row, such as ``beans/train/17``."""
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        return f"{self._title}/{index}"

    def read(self, index: int) -> bytes:
        """Read the image of a row."""
        data = encoded(self._images[index][self._columns.image])
        if data is None:
            raise UnreadableImage("the row has no image")
        return data

    def labels(self) -> Labels | None:
        """Return the classes of the column."""
        if self._classes is None or self._columns.label is None:
            return None
        column = self._columns.label
        given = self._classes.with_format("numpy")[:][column]
        return labels_of(np.asarray(given), self._columns.classes, f"column '{column}'")

    def why_no_labels(self) -> str:
        """Return the reason why `labels` returns None."""
        return self._columns.why_no_labels()
