"""Parameters of the device stage for one view, sampled in the worker as one float32 vector.

The first `NUM_SLOTS` numbers of a vector are described by `Slot`. If channels are dropped, the
ids of the kept channels follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from torch import Tensor

from lightly_core.config.options.augmentations import ColorJitterArgs
from lightly_core.config.options.transform import ViewSpec


class Slot(IntEnum):
    """Positions in the vector. ``*_ON`` is 0 or 1; slots of a change that is off are neutral.

    ``ORDER`` to ``ORDER + 3`` hold the order of the colour changes: the number of the change
    (0 brightness, 1 contrast, 2 saturation, 3 hue) applied first, second, third and last. The
    factors follow in the order of these numbers. Hue is a fraction of the colour circle,
    ``BLUR_SIGMA`` is in pixels, ``BLUR_SIZE`` is the size of the kernel in pixels or 0 if it
    follows from sigma, and ``SOLARIZE_THRESHOLD`` is in [0, 1].
    """

    JITTER_ON = 0
    ORDER = 1
    BRIGHTNESS = 5
    CONTRAST = 6
    SATURATION = 7
    HUE = 8
    GRAY_ON = 9
    BLUR_ON = 10
    BLUR_SIGMA = 11
    BLUR_SIZE = 12
    SOLARIZE_ON = 13
    SOLARIZE_THRESHOLD = 14


NUM_SLOTS = len(Slot) + 3  # the order takes four positions

NEUTRAL_FACTORS = (1.0, 1.0, 1.0, 0.0)


def neutral() -> np.ndarray:
    """Return the vector without any change, (NUM_SLOTS,) float32."""
    vector = np.zeros(NUM_SLOTS, dtype=np.float32)
    vector[Slot.ORDER : Slot.ORDER + 4] = range(4)
    vector[Slot.BRIGHTNESS : Slot.BRIGHTNESS + 4] = NEUTRAL_FACTORS
    return vector


def sample(spec: ViewSpec, rng: np.random.Generator, *, rgb: bool = True) -> np.ndarray:
    """Sample the photometric changes of one view.

    Args:
        spec: The view's description.
        rng: Source of randomness.
        rgb: Whether the channels are red, green and blue. If not, saturation, hue and grey stay
            neutral.

    Returns:
        Vector (NUM_SLOTS,) float32.
    """
    vector = neutral()
    jitter, blur, solarize = spec.color_jitter, spec.gaussian_blur, spec.solarize
    if jitter is not None and bernoulli(jitter.prob, rng):
        vector[Slot.JITTER_ON] = 1
        vector[Slot.ORDER : Slot.ORDER + 4] = rng.permutation(4)
        factors = sample_jitter_factors(jitter, rng)
        vector[Slot.BRIGHTNESS : Slot.BRIGHTNESS + 4] = (
            factors if rgb else (*factors[:2], *NEUTRAL_FACTORS[2:])
        )
    if rgb and spec.random_gray_scale is not None and bernoulli(spec.random_gray_scale, rng):
        vector[Slot.GRAY_ON] = 1
    if blur is not None and bernoulli(blur.prob, rng):
        sizes = blur.kernel_sizes
        vector[Slot.BLUR_ON] = 1
        vector[Slot.BLUR_SIGMA] = uniform(*blur.sigmas, rng)
        vector[Slot.BLUR_SIZE] = sizes[rng.integers(len(sizes))] if len(sizes) > 1 else sizes[0]
    if solarize is not None and bernoulli(solarize.prob, rng):
        vector[Slot.SOLARIZE_ON] = 1
        vector[Slot.SOLARIZE_THRESHOLD] = solarize.threshold
    return vector


def sample_jitter_factors(args: ColorJitterArgs, rng: np.random.Generator) -> tuple[float, ...]:
    """Sample the factors of brightness, contrast and saturation and the shift of the hue."""
    return tuple(uniform(low, high, rng) for low, high in jitter_ranges(args))


def jitter_ranges(args: ColorJitterArgs) -> list[tuple[float, float]]:
    """Return the bounds of the factors of `sample_jitter_factors`, in the same order."""
    amounts = (args.brightness, args.contrast, args.saturation)
    shift = args.strength * args.hue
    factors = [(max(0.0, 1 - args.strength * a), 1 + args.strength * a) for a in amounts]
    return [*factors, (-shift, shift)]


def bernoulli(probability: float, rng: np.random.Generator) -> bool:
    """Return True with the given probability: never at 0, always at 1."""
    return bool(rng.random() < probability)


def uniform(low: float, high: float, rng: np.random.Generator) -> float:
    """Sample uniformly from [low, high)."""
    return float(low + (high - low) * rng.random())


class ViewParameters:
    """Reads the stacked vectors of one view.

    Args:
        vectors: (B, NUM_SLOTS) or, if channels were dropped, (B, NUM_SLOTS + C), on the CPU.

    Attributes:
        numbers: (B, NUM_SLOTS) float32, in the order of `Slot`.
    """

    def __init__(self, vectors: Tensor) -> None:
        if vectors.ndim != 2 or vectors.shape[1] < NUM_SLOTS:
            raise ValueError(
                f"expected view parameters of shape (B, {NUM_SLOTS}) or wider, "
                f"got {tuple(vectors.shape)}; pass the stacked parameters of Transform.sample"
            )
        self._vectors = vectors
        self.numbers: npt.NDArray[np.float32] = vectors[:, :NUM_SLOTS].numpy()

    def __len__(self) -> int:
        return len(self.numbers)

    def is_on(self, slot: Slot) -> npt.NDArray[np.bool_]:
        """Return whether a change is on for each image, (B,), by its slot ``*_ON``."""
        on: npt.NDArray[np.bool_] = self.numbers[:, slot] != 0
        return on

    def order(self) -> npt.NDArray[np.int64]:
        """Return the numbers of the colour changes in the order of application, (B, 4)."""
        return self.numbers[:, Slot.ORDER : Slot.ORDER + 4].astype(np.int64)

    def factors(self) -> npt.NDArray[np.float32]:
        """Return the factors of the colour changes, ordered by the number of the change, (B, 4)."""
        return self.numbers[:, Slot.BRIGHTNESS : Slot.BRIGHTNESS + 4]

    def kept_channels(self) -> Tensor | None:
        """Return the ids of the kept channels, (B, C) int64, or None if none were dropped."""
        if self._vectors.shape[1] == NUM_SLOTS:
            return None
        return self._vectors[:, NUM_SLOTS:].long()


def with_channels(vector: np.ndarray, kept: Sequence[int] | None) -> np.ndarray:
    """Append the ids of the kept channels, if channels were dropped."""
    if kept is None:
        return vector
    return np.concatenate([vector, np.asarray(kept, dtype=np.float32)])
