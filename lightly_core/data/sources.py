"""From the setting `data` to a numbered collection of images."""

from __future__ import annotations

import os
from collections import Counter

from lightly_core.config.settings import PythonObject
from lightly_core.data.base import ImageSource, Labels
from lightly_core.data.check import BUILTIN_PREFIX, check_data, data_problems
from lightly_core.data.folder import FolderSource
from lightly_core.data.objects import DatasetSource, DigitsSource
from lightly_core.data.paths import Listing, endings, list_elements, list_folder
from lightly_core.errors import DataError

__all__ = [
    "DatasetSource",
    "DigitsSource",
    "FolderSource",
    "ImageSource",
    "Labels",
    "check_data",
    "open_source",
]


def open_source(
    data: str | list[str] | PythonObject, *, num_channels: int = 3, min_side: int | None = None
) -> ImageSource:
    """Find the images.

    Args:
        data: A folder (searched through), an image, a glob, a text file with a path a line, a
            list of these, ``builtin:digits``, or a wrapped torch Dataset.
        num_channels: Channels that images are brought to.
        min_side: Shorter side in pixels down to which big JPEGs may be shrunk while they are
            decoded; see `lightly_core.data.decode.smallest_useful_side`. None: never.

    Returns:
        At least one image; the order depends on the names only.

    Raises:
        DataError: Something does not exist, is of the wrong kind, or holds no image.
    """
    problems = data_problems(data)
    if problems:
        raise DataError("; ".join(problems))
    source: ImageSource
    if isinstance(data, PythonObject):
        source = DatasetSource(data.value, num_channels=num_channels)
        if len(source) == 0:
            raise DataError(f"the dataset {data} is empty")
        return source
    if isinstance(data, str) and data.startswith(BUILTIN_PREFIX):
        return DigitsSource(num_channels=num_channels)
    elements = [data] if isinstance(data, str) else data
    single = os.path.expanduser(elements[0]) if len(elements) == 1 else ""
    class_folders = os.path.isdir(single)
    listing = list_folder(single) if class_folders else list_elements(elements)
    if not listing.names:
        raise DataError(_nothing_found(elements, listing))
    return FolderSource(
        listing, num_channels=num_channels, min_side=min_side, class_folders=class_folders
    )


def _nothing_found(elements: list[str], listing: Listing) -> str:
    where = f"'{elements[0]}'" if len(elements) == 1 else f"the {len(elements)} elements of data"
    return f"no images in {where}: found {_kinds(listing.others)}; expected endings {endings()}"


def _kinds(others: Counter[str]) -> str:
    """Describe files that are no images."""
    if not others:
        return "no files"
    ranked = sorted(others.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count} {ending or 'without ending'}" for ending, count in ranked[:5]]
    return f"{others.total()} other files ({', '.join(shown)}{', ...' if ranked[5:] else ''})"
