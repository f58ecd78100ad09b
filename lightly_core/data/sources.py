"""Opens the setting `data` as an `ImageSource`."""

from __future__ import annotations

import logging
import os
from typing import cast

from lightly_core.config.options.settings import PythonObject
from lightly_core.contracts.source import SourceLibrary
from lightly_core.data.base import ImageRequest, ImageSource, Labels
from lightly_core.data.check import BUILTIN_PREFIX, check_data, data_problems
from lightly_core.data.endings import counted, endings, skipped_files, what_to_install
from lightly_core.data.folder import FolderSource
from lightly_core.data.names import shown
from lightly_core.data.objects import DatasetSource, DigitsSource
from lightly_core.data.paths import Listing, list_elements, list_folder
from lightly_core.data.pixels import ValueRange
from lightly_core.data.source_text import (
    NamedSource,
    files_of_source,
    named_source,
    names_source,
)
from lightly_core.errors import DataError
from lightly_core.plugins.loading import load_target

logger = logging.getLogger(__name__)

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
    data: str | list[str] | PythonObject,
    *,
    num_channels: int = 3,
    min_side: int | None = None,
    value_range: ValueRange = None,
) -> ImageSource:
    """Find the images.

    Args:
        data: A folder (searched recursively), an image, a glob, a text file with one path per
            line, a list of these, ``builtin:digits``, the text of a data source or a list of
            such, or a wrapped torch Dataset.
        num_channels: Channels that images are converted to.
        min_side: Shorter side in pixels below which JPEGs are not shrunk while they are decoded;
            see `lightly_core.data.decode.smallest_useful_side`. None: never shrink.
        value_range: Pixel values that become black and white; see
            `lightly_core.data.pixels.to_unit`.

    Returns:
        A source of at least one image; the order depends only on the names.

    Raises:
        DataError: A path does not exist or is of the wrong kind, or there is no image.
    """
    problems = data_problems(data)
    if problems:
        raise DataError("; ".join(problems))
    source: ImageSource
    if isinstance(data, PythonObject):
        source = DatasetSource(data.value, num_channels=num_channels, value_range=value_range)
        if len(source) == 0:
            raise DataError(f"the dataset {data} is empty")
        return source
    if isinstance(data, str) and data.startswith(BUILTIN_PREFIX):
        return DigitsSource(num_channels=num_channels)
    elements = [data] if isinstance(data, str) else data
    request = ImageRequest(num_channels, min_side, value_range)
    if any(map(names_source, elements)):
        return _open_named(named_source(elements), request)
    single = os.path.expanduser(elements[0]) if len(elements) == 1 else ""
    class_folders = os.path.isdir(single)
    listing = list_folder(single) if class_folders else list_elements(elements)
    if not listing.names:
        raise DataError(_nothing_found(elements, listing))
    _log_skipped(listing)
    return FolderSource(listing, request, class_folders=class_folders)


def _open_named(named: NamedSource, request: ImageRequest) -> ImageSource:
    library = cast("type[SourceLibrary]", load_target(named.record))
    return library().open(named.places, named.options, request)


def _nothing_found(elements: list[str], listing: Listing) -> str:
    one = len(elements) == 1
    where = f"'{shown(elements[0])}'" if one else f"the {len(elements)} elements of data"
    others = listing.others
    found = f"{others.total()} other files ({counted(others)})" if others else "no files"
    hint = what_to_install(others) or (files_of_source(elements[0], others) if one else "")
    return f"no images in {where}: found {found}; expected endings {endings()}{hint}"


def _log_skipped(listing: Listing) -> None:
    if listing.others:
        level = logging.WARNING if what_to_install(listing.others) else logging.INFO
        logger.log(level, "%s", skipped_files(listing.others))
