"""Reads one image and creates its sample."""

from __future__ import annotations

import functools
from typing import TypeGuard

import numpy as np

from lightly_core.contracts import Sample, Transform
from lightly_core.contracts.data import PlanningTransform, ViewPlan
from lightly_core.data.base import ImageSource
from lightly_core.data.channels import image_size
from lightly_core.data.library_messages import Note
from lightly_core.data.loading import load_or_reason
from lightly_core.data.sampler import EXTRAS_STREAM, SAMPLE_STREAM


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
