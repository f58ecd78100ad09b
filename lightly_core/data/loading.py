"""Loads one image. What cannot be read is replaced, or reported. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy.typing as npt
from PIL import Image

from lightly_core.data.base import ImageSource
from lightly_core.data.library_messages import Note, captured_messages
from lightly_core.data.names import shown
from lightly_core.data.pixels import UnreadableImage
from lightly_core.data.skipped import Skipped
from lightly_core.errors import DataError

#: Images that are tried before the search for a replacement ends: first the next ones, then, in
#: case a whole folder cannot be read, others at even distances over the source.
MAX_TRIES = 100
_IN_A_ROW = 50


def load_or_reason(
    source: ImageSource,
    index: int,
    notes: list[Note] | None = None,
    least_scale: Callable[[tuple[int, int]], float] | None = None,
) -> Image.Image | npt.NDArray[Any] | str:
    """Load an image, or return a short reason why it cannot be read.

    Args:
        source: The images.
        index: Position in the source.
        notes: A list to which messages of image libraries are appended; None: discard them.
        least_scale: See `ImageSource.load_shrunk`; None: `ImageSource.load` is used.
    """
    with captured_messages() as messages:
        loaded = _load_or_reason(source, index, least_scale)
    if notes is not None:
        notes.extend((source.name(index), text) for text in messages)
    return loaded


def _load_or_reason(
    source: ImageSource, index: int, least_scale: Callable[[tuple[int, int]], float] | None
) -> Image.Image | npt.NDArray[Any] | str:
    try:
        return source.load(index) if least_scale is None else source.load_shrunk(index, least_scale)
    except UnreadableImage as error:
        return str(error)
    except (MemoryError, DataError):  # the second: no image can be read at present
        raise
    except Exception as error:  # the user's own dataset may raise anything
        text = " ".join(str(error).split())
        return f"{type(error).__name__}: {text}"[:200]


def replacements(requested: int, size: int) -> Iterator[int]:
    """Yield the positions to try for an image: its own, the next 49, then 50 at even distances.

    Args:
        requested: Position of the image.
        size: Images of the source, N. Up to 100 images are all yielded in order.
    """
    if size <= MAX_TRIES:
        yield from ((requested + step) % size for step in range(size))
        return
    yield from ((requested + step) % size for step in range(_IN_A_ROW))
    rest = MAX_TRIES - _IN_A_ROW
    first, wide = requested + _IN_A_ROW, size - _IN_A_ROW
    yield from ((first + step * wide // rest) % size for step in range(rest))


def none_readable(skipped: Sequence[Skipped]) -> DataError:
    """Return the error for an image without a readable replacement."""
    first = ", ".join(f"'{shown(name)}' ({shown(reason)})" for _, name, reason in skipped[:3])
    return DataError(f"none of {len(skipped)} images tried can be read, such as {first}")


def first_readable(source: ImageSource) -> Image.Image | npt.NDArray[Any]:
    """Load the first image that can be read.

    Raises:
        DataError: None of the first images can be read, nor others at even distances.
    """
    skipped: list[Skipped] = []
    for index in replacements(0, len(source)):
        loaded = load_or_reason(source, index)
        if not isinstance(loaded, str):
            return loaded
        skipped.append((index, source.name(index), loaded))
    raise none_readable(skipped)
