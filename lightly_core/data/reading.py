"""Reads one image and creates its sample; what cannot be read is replaced, or reported."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt
from PIL import Image

from lightly_core.contracts import Sample, Transform
from lightly_core.contracts.data import PlanningTransform, ViewPlan
from lightly_core.data.base import ImageSource
from lightly_core.data.library_messages import Note, captured_messages
from lightly_core.data.names import shown
from lightly_core.data.pixels import UnreadableImage
from lightly_core.data.sampler import EXTRAS_STREAM, SAMPLE_STREAM
from lightly_core.data.skipped import Skipped
from lightly_core.data.views.worker import image_size
from lightly_core.errors import DataError

#: Images that are tried before the search for a replacement ends: first the next ones, then, in
#: case a whole folder cannot be read, others at even distances over the source.
MAX_TRIES = 100
_IN_A_ROW = 50


def sample_or_reason(
    source: ImageSource,
    transform: Transform,
    index: int,
    rng: np.random.Generator,
    notes: list[Note] | None = None,
) -> Sample | str:
    """Load an image and run the transform's first stage, or return why it cannot be read.

    A transform that plans its views before the image is decoded gets large JPEGs shrunk as far as
    the views allow.

    Args:
        source: The images.
        transform: Its first stage is used.
        index: Position in the source.
        rng: The only source of randomness of the sample.
        notes: See `load_or_reason`.
    """
    if not plans_views(transform):
        loaded = load_or_reason(source, index, notes)
        return loaded if isinstance(loaded, str) else transform.sample(loaded, rng, index)
    plans: list[ViewPlan | Exception] = []

    def least_scale(size: tuple[int, int]) -> float:
        try:
            plans.append(transform.plan(size, rng, index))
        except Exception as error:  # a fault of the transform, not of the image
            plans.append(error)
        return getattr(plans[0], "least_scale", 1.0)

    loaded = load_or_reason(source, index, notes, least_scale)
    if not plans and not isinstance(loaded, str):
        least_scale(image_size(loaded))  # the source does not shrink this image
    if plans and isinstance(plans[0], Exception):
        raise plans[0]
    if isinstance(loaded, str):
        return loaded
    assert isinstance(plans[0], ViewPlan)
    return plans[0].make(loaded)


def plans_views(transform: Transform) -> TypeGuard[PlanningTransform]:
    """Return whether `PlanningTransform.plan` is used for a transform instead of `sample`.

    It is not if a subclass has overridden `sample` and inherits `plan`, which would ignore this.
    """
    return _plans_views(type(transform))


@functools.cache  # the check of a protocol takes long
def _plans_views(kind: type) -> bool:
    if not issubclass(kind, PlanningTransform):
        return False
    plan, sample = (
        next(base for base in kind.__mro__ if name in vars(base)) for name in ("plan", "sample")
    )
    return issubclass(plan, sample)


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


def sample_rng(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Return the random generator of one image in one epoch.

    The counter of Philox is split by epoch and index, so no two samples share a random number.
    """
    bits = np.random.Philox(key=[seed, SAMPLE_STREAM], counter=[0, index, epoch, 0])
    return np.random.Generator(bits)


def extras_rng(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Return the generator of an image's extras, independent of that of `sample_rng`."""
    bits = np.random.Philox(key=[seed, EXTRAS_STREAM], counter=[0, index, epoch, 0])
    return np.random.Generator(bits)
