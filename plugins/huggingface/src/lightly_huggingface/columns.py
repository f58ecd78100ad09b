"""The columns of a data set: which hold images and classes, and what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from attrs import define

from lightly_core.contracts import Labels
from lightly_core.data.names import shown
from lightly_core.errors import DataError, did_you_mean
from lightly_huggingface.config import HuggingFaceArgs

if TYPE_CHECKING:
    from datasets import Features

#: Columns that hold files of images without saying so, if they have one of these names.
_IMAGE_NAMES = ("image", "img", "images", "jpg", "png", "bytes")


@define(frozen=True)
class Columns:
    """The columns that are used.

    Attributes:
        image: Name of the column of the images.
        label: Name of the column of the classes; None: there is none.
        classes: Names of the classes; empty: the values themselves are the names.
    """

    image: str
    label: str | None
    classes: tuple[str, ...]

    def why_no_labels(self) -> str:
        """Return the reason why there are no two classes."""
        if self.label is None:
            return "no column has classes (option label)"
        return f"the column '{self.label}' has no two classes (option label)"


def find_columns(features: Features, options: HuggingFaceArgs) -> Columns:
    """Choose the columns of images and classes.

    Raises:
        DataError: A column does not exist, or none holds images.
    """
    from datasets import ClassLabel, Image, Value

    for given in (options.image, options.label):
        if given is not None and given not in features:
            hint = did_you_mean(given, features)
            raise DataError(
                f"there is no column '{shown(given)}'{f', {hint}' if hint else ''}; "
                f"known: {', '.join(map(shown, features))}"
            )
    image = options.image or _first(features, Image)
    if image is None:
        plain = [name for name in _IMAGE_NAMES if name in features]
        image = plain[0] if plain else None
    if image is None:
        raise DataError(
            f"no column holds images; give one by the option image; known: "
            f"{', '.join(map(shown, features))}"
        )
    label = options.label or _first(features, ClassLabel)
    if label is None and isinstance(features.get("label"), Value):
        label = "label"
    names = getattr(features[label], "names", None) if label is not None else None
    return Columns(image, label, tuple(names or ()))


def _first(features: Features, kind: type) -> str | None:
    return next((name for name, feature in features.items() if isinstance(feature, kind)), None)


def encoded(value: Any) -> bytes | None:  # noqa: ANN401 - rows are not typed
    """Return the file of an image from a row that is not decoded; None if it has none."""
    if not value:
        return None
    if value.get("bytes") is not None:
        return bytes(value["bytes"])
    if not value.get("path"):
        return None
    import fsspec

    with fsspec.open(value["path"], "rb") as file:
        data: bytes = file.read()
    return data


def labels_of(given: npt.NDArray[Any], classes: tuple[str, ...], origin: str) -> Labels | None:
    """Return the classes of a column.

    Args:
        given: Value of each row, (N,): numbers or texts; None where there is none.
        classes: Names of the numbers; empty: the values are the names.
        origin: Where they are from, for the user.

    Returns:
        None if there are fewer than two classes, or values that are no classes.
    """
    if classes:
        numbers = np.asarray([-1 if value is None else int(value) for value in given], np.int64)
        return Labels(numbers, classes, origin) if len(classes) > 1 else None
    if given.ndim != 1 or any(isinstance(value, float) for value in given.tolist()):
        return None
    present = sorted({value for value in given.tolist() if value is not None})
    if len(present) < 2:
        return None
    rank = {value: number for number, value in enumerate(present)}
    targets = np.asarray([rank.get(value, -1) for value in given.tolist()], np.int64)
    return Labels(targets, tuple(map(str, present)), origin)
