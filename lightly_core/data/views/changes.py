"""The photometric changes that each image of a batch wants, read from its parameters."""

from __future__ import annotations

import functools
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lightly_core.data.views.parameters import NEUTRAL_FACTORS, Slot, ViewParameters

#: Weights of red, green and blue in the brightness: ITU-R 601-2, with torchvision's digits.
LUMA = (0.2989, 0.587, 0.114)

# Below this, a neighbour's weight is less than 1e-9 of the pixel's own, below float32 precision.
_LEAST_SIGMA = 0.15

# A change's key: its turn times this, plus the number of the colour change or the blur radius.
_TURN = 1 << 16


class Kind(IntEnum):
    """The changes. The first four have the numbers of `Slot.ORDER`, the others their turn."""

    BRIGHTNESS = 0
    CONTRAST = 1
    SATURATION = 2
    HUE = 3
    GRAY = 4
    BLUR = 5
    SOLARIZE = 6


class Wanted(NamedTuple):
    """Changes to apply, one an entry.

    An image's changes are applied in the order of their keys: four turns of jitter, grey, blur,
    solarise. Changes with equal keys can be computed together.

    Attributes:
        rows: Images, (n,).
        keys: Turn, kind and radius of the blur in one number, (n,). See `kind_and_radius`.
        values: Factor, shift, standard deviation or threshold, (n,).
    """

    rows: npt.NDArray[np.int64]
    keys: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]


def wanted(parameters: ViewParameters) -> Wanted:
    """Return the changes of all images, in no particular order; neutral ones are left out."""
    numbers, every = parameters.numbers, np.arange(len(parameters))
    found = []

    def add(chosen: npt.NDArray[np.bool_], keys: npt.NDArray[np.int64] | int, slot: int) -> None:
        rows = every[chosen]
        found.append((rows, np.broadcast_to(keys, every.shape)[rows], numbers[rows, slot]))

    jittered, order, factors = (
        parameters.is_on(Slot.JITTER_ON),
        parameters.order(),
        parameters.factors(),
    )
    for change, neutral in enumerate(NEUTRAL_FACTORS):
        turn = (order == change).argmax(axis=1)
        chosen = jittered & (factors[:, change] != neutral)
        add(chosen, turn * _TURN + change, Slot.BRIGHTNESS + change)
    add(parameters.is_on(Slot.GRAY_ON), Kind.GRAY * _TURN, Slot.GRAY_ON)
    sigmas, sizes = numbers[:, Slot.BLUR_SIGMA], numbers[:, Slot.BLUR_SIZE].astype(np.int64)
    blurred = parameters.is_on(Slot.BLUR_ON) & (sigmas >= _LEAST_SIGMA)
    add(blurred, Kind.BLUR * _TURN + kernel_radii(sigmas, sizes), Slot.BLUR_SIGMA)
    add(parameters.is_on(Slot.SOLARIZE_ON), Kind.SOLARIZE * _TURN, Slot.SOLARIZE_THRESHOLD)
    rows, keys, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Wanted(rows, keys, values)


@functools.lru_cache(1024)
def kind_and_radius(key: int) -> tuple[Kind, int]:
    """Return the change of a key, and the radius of its kernel in pixels (0 if it has none)."""
    turn, detail = divmod(key, _TURN)
    if turn < Kind.GRAY:
        return Kind(detail), 0
    return Kind(turn), detail


def kernel_radii(
    sigmas: npt.NDArray[np.float32], kernel_sizes: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the radii of kernels in pixels, (N,); for size 0 it is three sigmas."""
    three_sigmas = np.ceil(3 * sigmas.astype(np.float64)).astype(np.int64)
    return np.where(kernel_sizes > 0, (kernel_sizes - 1) // 2, three_sigmas)
