"""Samples the random numbers of `TwoStageTransform.sample` for a whole batch at once.

The numbers equal those of the worker bit by bit: the same streams are read in the same order.
Rows in which rounding or a rejected sample could make a difference are sampled by the worker's own
functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from lightly_core.config.options.augmentations import RandomResizeArgs
from lightly_core.config.options.transform import ViewSpec
from lightly_core.data.views import parameters
from lightly_core.data.views.geometry import CROP_TRIES, centred_box, sample_geometry
from lightly_core.data.views.parameters import NEUTRAL_FACTORS, NUM_SLOTS, Slot
from lightly_core.data.views.streams import MAX_TRIES, Integers, Rows, Streams, sample_words

Key: TypeAlias = tuple[int, int]
MakeGenerator: TypeAlias = Callable[[int, int, int], np.random.Generator]

# Results of exp and sqrt of two libraries may differ by one unit in the last place: 1e-13 pixels.
_ROUNDING_DOUBT = 1e-9
_CHECKED = 32
# Results of the comparison; a run creates several loaders with the same views.
_vectorised: dict[Hashable, bool] = {}


@dataclass(frozen=True)
class SampledView:
    """Random numbers of one view of B images.

    Attributes:
        boxes: Crops (B, 4) int64: top, left, height, width in pixels.
        mirror: Left-right flip, (B,) bool.
        upside_down: Top-bottom flip, (B,) bool.
        vectors: Parameters of the device stage, (B, NUM_SLOTS) float32.
    """

    boxes: Integers
    mirror: npt.NDArray[np.bool_]
    upside_down: npt.NDArray[np.bool_]
    vectors: npt.NDArray[np.float32]

    def part(self, start: int, stop: int) -> SampledView:
        """Return images ``start`` to ``stop - 1``."""
        rows = slice(start, stop)
        return SampledView(
            self.boxes[rows], self.mirror[rows], self.upside_down[rows], self.vectors[rows]
        )

    def copy_rows(self, rows: Rows, other: SampledView) -> None:
        """Overwrite the images `rows` by all images of `other`."""
        self.boxes[rows] = other.boxes
        self.mirror[rows] = other.mirror
        self.upside_down[rows] = other.upside_down
        self.vectors[rows] = other.vectors

    def equals(self, other: SampledView, rows: Rows) -> bool:
        """Return whether the images `rows` have equal numbers."""
        return (
            np.array_equal(self.boxes[rows], other.boxes[rows])
            and np.array_equal(self.mirror[rows], other.mirror[rows])
            and np.array_equal(self.upside_down[rows], other.upside_down[rows])
            and np.array_equal(self.vectors[rows], other.vectors[rows])
        )


class ViewSampler:
    """Samples all views of many images of one size.

    Args:
        specs: The views; without `random_rotation`.
        image_size: (height, width) of every image in pixels.
        rgb: See `parameters.sample`.
        seed: Seed of the run.
        make_generator: The worker's generator of ``(seed, epoch, index)``, `sample_rng`.

    Attributes:
        vectorised: Whether the vectorised form gives the worker's numbers with the installed
            NumPy, checked by comparing some samples. If not, the worker's code is used for all.
    """

    def __init__(
        self,
        specs: Sequence[ViewSpec],
        image_size: tuple[int, int],
        *,
        rgb: bool,
        seed: int,
        make_generator: MakeGenerator,
    ) -> None:
        self.specs = tuple(specs)
        self.image_size = image_size
        self.rgb = rgb
        self.seed = seed
        self._make_generator = make_generator
        self._num_words = sum(_most_words(spec) for spec in self.specs)
        key = (self.specs, image_size, rgb, seed, make_generator)
        if key not in _vectorised:
            _vectorised[key] = self._agrees()
        self.vectorised = _vectorised[key]

    def sample(self, keys: Sequence[Key]) -> list[SampledView]:
        """Sample the views of images ``(epoch, index)``; returns one entry per view."""
        if not self.vectorised:
            return self._sample_by_worker(keys)
        views, doubtful = self._sample_vectorised(keys)
        rows = np.flatnonzero(doubtful)
        if len(rows):
            exact = self._sample_by_worker([keys[row] for row in rows.tolist()])
            for view, correct in zip(views, exact, strict=True):
                view.copy_rows(rows, correct)
        return views

    def _agrees(self) -> bool:
        keys = [(number % 5, number * 7919) for number in range(_CHECKED)]
        try:
            views, doubtful = self._sample_vectorised(keys)
        except (KeyError, TypeError, ValueError):  # another layout of the bit generator's state
            return False
        sure = np.flatnonzero(~doubtful)
        exact = self._sample_by_worker(keys)
        return all(view.equals(right, sure) for view, right in zip(views, exact, strict=True))

    def _sample_by_worker(self, keys: Sequence[Key]) -> list[SampledView]:
        views = [_empty(len(keys)) for _ in self.specs]
        for row, (epoch, index) in enumerate(keys):
            rng = self._make_generator(self.seed, epoch, index)
            for spec, view in zip(self.specs, views, strict=True):
                geometry = sample_geometry(spec, *self.image_size, rng)
                view.boxes[row] = geometry.box
                view.mirror[row] = geometry.mirror
                view.upside_down[row] = geometry.upside_down
                view.vectors[row] = parameters.sample(spec, rng, rgb=self.rgb)
        return views

    def _sample_vectorised(
        self, keys: Sequence[Key]
    ) -> tuple[list[SampledView], npt.NDArray[np.bool_]]:
        streams = Streams(sample_words(self.seed, keys, self._num_words))
        views = [self._view(spec, streams) for spec in self.specs]
        return views, streams.doubtful

    def _view(self, spec: ViewSpec, streams: Streams) -> SampledView:
        view = _empty(len(streams))
        every = np.arange(len(streams))
        if spec.random_resize is not None:
            _sample_boxes(view.boxes, *self.image_size, spec.random_resize, streams)
        else:
            view.boxes[:, 2:] = self.image_size
        if spec.random_flip is not None:
            view.mirror[:] = streams.bernoulli(spec.random_flip.horizontal_prob, every)
            view.upside_down[:] = streams.bernoulli(spec.random_flip.vertical_prob, every)
        _sample_vectors(view.vectors, spec, streams, rgb=self.rgb)
        return view


def _empty(size: int) -> SampledView:
    return SampledView(
        np.zeros((size, 4), np.int64),
        np.zeros(size, bool),
        np.zeros(size, bool),
        np.tile(parameters.neutral(), (size, 1)),
    )


def _most_words(spec: ViewSpec) -> int:
    """Return the maximum number of raw words that one view needs."""
    crop = 2 * CROP_TRIES + 2 if spec.random_resize is not None else 0
    order = 4 * MAX_TRIES if spec.color_jitter is not None else 0
    return crop + 2 + NUM_SLOTS + order  # two flips; at most one word for any other slot


def _sample_boxes(
    boxes: Integers, height: int, width: int, args: RandomResizeArgs, streams: Streams
) -> None:
    """Fill (B, 4) as `sample_box` does."""
    low, high = math.log(args.min_ratio), math.log(args.max_ratio)
    rows: Rows = np.arange(len(streams))
    for _ in range(CROP_TRIES):
        target = height * width * streams.uniform(args.min_scale, args.max_scale, rows)
        ratio = np.exp(streams.uniform(low, high, rows))
        wide, tall = np.sqrt(target * ratio), np.sqrt(target / ratio)
        for side in (wide, tall):
            streams.doubtful[rows] |= np.abs(side % 1 - 0.5) < _ROUNDING_DOUBT
        crop_width, crop_height = np.rint(wide).astype(np.int64), np.rint(tall).astype(np.int64)
        fits = (crop_width > 0) & (crop_width <= width)
        fits &= (crop_height > 0) & (crop_height <= height)
        done, crop_height, crop_width = rows[fits], crop_height[fits], crop_width[fits]
        top = streams.integers(height - crop_height + 1, done)
        left = streams.integers(width - crop_width + 1, done)
        boxes[done] = np.stack([top, left, crop_height, crop_width], axis=1)
        rows = rows[~fits]
        if not len(rows):
            return
    boxes[rows] = centred_box(height, width, args)


def _sample_vectors(
    vectors: npt.NDArray[np.float32], spec: ViewSpec, streams: Streams, *, rgb: bool
) -> None:
    """Fill (B, NUM_SLOTS), which holds neutral values, as `parameters.sample` does."""
    every = np.arange(len(streams))
    jitter, blur, solarize = spec.color_jitter, spec.gaussian_blur, spec.solarize
    if jitter is not None:
        rows = every[streams.bernoulli(jitter.prob, every)]
        vectors[rows, Slot.JITTER_ON] = 1
        vectors[rows, Slot.ORDER : Slot.ORDER + 4] = streams.permutations(4, rows)
        for change, (low, high) in enumerate(parameters.jitter_ranges(jitter)):
            factors = streams.uniform(low, high, rows)
            # Sampled even if unused, since the position of all later numbers depends on it.
            vectors[rows, Slot.BRIGHTNESS + change] = (
                factors if rgb or change < 2 else NEUTRAL_FACTORS[change]
            )
    if rgb and spec.random_gray_scale is not None:
        vectors[:, Slot.GRAY_ON] = streams.bernoulli(spec.random_gray_scale, every)
    if blur is not None:
        rows = every[streams.bernoulli(blur.prob, every)]
        sizes = np.array(blur.kernel_sizes)
        vectors[rows, Slot.BLUR_ON] = 1
        vectors[rows, Slot.BLUR_SIGMA] = streams.uniform(*blur.sigmas, rows)
        choice = streams.integers(np.full(len(rows), len(sizes)), rows)
        vectors[rows, Slot.BLUR_SIZE] = sizes[choice]
    if solarize is not None:
        rows = every[streams.bernoulli(solarize.prob, every)]
        vectors[rows, Slot.SOLARIZE_ON] = 1
        vectors[rows, Slot.SOLARIZE_THRESHOLD] = solarize.threshold
