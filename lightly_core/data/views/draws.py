"""What `TwoStageTransform.sample` draws, for a whole batch at once and without any pixels.

The numbers are those of the worker, bit by bit: the same streams, read in the same order. Rows in
which rounding or a rejected draw could make a difference are left to the worker's own functions.
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
from lightly_core.data.views import parameters, worker
from lightly_core.data.views.parameters import NEUTRAL_FACTORS, NUM_SLOTS, Slot
from lightly_core.data.views.streams import MOST_TRIES, Integers, Rows, Streams, sample_words

Key: TypeAlias = tuple[int, int]
MakeGenerator: TypeAlias = Callable[[int, int, int], np.random.Generator]

# Two libraries may compute exp and sqrt one unit in the last place apart: 1e-13 of the pixels here.
_ROUNDING_DOUBT = 1e-9
_CHECKED = 32
# What the comparison came to; a run makes several loaders of the same views.
_vectorised: dict[Hashable, bool] = {}


@dataclass(frozen=True)
class ViewDraws:
    """What was drawn for one view of B images.

    Attributes:
        boxes: Crops (B, 4) int64: top, left, height, width in pixels.
        mirror: Left-right flip, (B,) bool.
        upside_down: Top-bottom flip, (B,) bool.
        vectors: Parameters of the device's stage, (B, NUM_SLOTS) float32.
    """

    boxes: Integers
    mirror: npt.NDArray[np.bool_]
    upside_down: npt.NDArray[np.bool_]
    vectors: npt.NDArray[np.float32]

    def part(self, start: int, stop: int) -> ViewDraws:
        """Return images ``start`` to ``stop - 1``."""
        rows = slice(start, stop)
        return ViewDraws(
            self.boxes[rows], self.mirror[rows], self.upside_down[rows], self.vectors[rows]
        )

    def copy_rows(self, rows: Rows, other: ViewDraws) -> None:
        """Overwrite some images by all those of `other`."""
        self.boxes[rows] = other.boxes
        self.mirror[rows] = other.mirror
        self.upside_down[rows] = other.upside_down
        self.vectors[rows] = other.vectors

    def equals(self, other: ViewDraws, rows: Rows) -> bool:
        """Tell whether some images have equal numbers."""
        return (
            np.array_equal(self.boxes[rows], other.boxes[rows])
            and np.array_equal(self.mirror[rows], other.mirror[rows])
            and np.array_equal(self.upside_down[rows], other.upside_down[rows])
            and np.array_equal(self.vectors[rows], other.vectors[rows])
        )


class BatchDraws:
    """Draws all views of many images of one size.

    Args:
        specs: The views; without `random_rotation`.
        image_size: (height, width) of every image in pixels.
        rgb: See `parameters.draw`.
        seed: Seed of the run.
        make_generator: The worker's generator of ``(seed, epoch, index)``, `sample_rng`.

    Attributes:
        vectorised: Whether the fast form gives the worker's numbers with the installed NumPy;
            found out by comparing some samples. Else every sample is drawn by the worker's code.
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

    def draw(self, keys: Sequence[Key]) -> list[ViewDraws]:
        """Draw for samples ``(epoch, index)``; one entry a view."""
        if not self.vectorised:
            return self._one_by_one(keys)
        views, doubtful = self._side_by_side(keys)
        rows = np.flatnonzero(doubtful)
        if len(rows):
            exact = self._one_by_one([keys[row] for row in rows.tolist()])
            for view, correct in zip(views, exact, strict=True):
                view.copy_rows(rows, correct)
        return views

    def _agrees(self) -> bool:
        keys = [(number % 5, number * 7919) for number in range(_CHECKED)]
        try:
            views, doubtful = self._side_by_side(keys)
        except (KeyError, TypeError, ValueError):  # another layout of the bit generator's state
            return False
        sure = np.flatnonzero(~doubtful)
        exact = self._one_by_one(keys)
        return all(view.equals(right, sure) for view, right in zip(views, exact, strict=True))

    def _one_by_one(self, keys: Sequence[Key]) -> list[ViewDraws]:
        views = [_empty(len(keys)) for _ in self.specs]
        for row, (epoch, index) in enumerate(keys):
            rng = self._make_generator(self.seed, epoch, index)
            for spec, view in zip(self.specs, views, strict=True):
                geometry = worker.draw_geometry(spec, *self.image_size, rng)
                view.boxes[row] = geometry.box
                view.mirror[row] = geometry.mirror
                view.upside_down[row] = geometry.upside_down
                view.vectors[row] = parameters.draw(spec, rng, rgb=self.rgb)
        return views

    def _side_by_side(self, keys: Sequence[Key]) -> tuple[list[ViewDraws], npt.NDArray[np.bool_]]:
        streams = Streams(sample_words(self.seed, keys, self._num_words))
        views = [self._view(spec, streams) for spec in self.specs]
        return views, streams.doubtful

    def _view(self, spec: ViewSpec, streams: Streams) -> ViewDraws:
        view = _empty(len(streams))
        every = np.arange(len(streams))
        if spec.random_resize is not None:
            _draw_boxes(view.boxes, *self.image_size, spec.random_resize, streams)
        else:
            view.boxes[:, 2:] = self.image_size
        if spec.random_flip is not None:
            view.mirror[:] = streams.happens(spec.random_flip.horizontal_prob, every)
            view.upside_down[:] = streams.happens(spec.random_flip.vertical_prob, every)
        _draw_vectors(view.vectors, spec, streams, rgb=self.rgb)
        return view


def _empty(size: int) -> ViewDraws:
    return ViewDraws(
        np.zeros((size, 4), np.int64),
        np.zeros(size, bool),
        np.zeros(size, bool),
        np.tile(parameters.neutral(), (size, 1)),
    )


def _most_words(spec: ViewSpec) -> int:
    """Return how many raw words one view can use up."""
    crop = 2 * worker.CROP_TRIES + 2 if spec.random_resize is not None else 0
    order = 4 * MOST_TRIES if spec.color_jitter is not None else 0
    return crop + 2 + NUM_SLOTS + order  # two flips; at most one draw of any other slot


def _draw_boxes(
    boxes: Integers, height: int, width: int, args: RandomResizeArgs, streams: Streams
) -> None:
    """Fill (B, 4) as `worker.draw_box` does."""
    low, high = math.log(args.min_ratio), math.log(args.max_ratio)
    rows: Rows = np.arange(len(streams))
    for _ in range(worker.CROP_TRIES):
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
    boxes[rows] = worker.centred_box(height, width, args)


def _draw_vectors(
    vectors: npt.NDArray[np.float32], spec: ViewSpec, streams: Streams, *, rgb: bool
) -> None:
    """Fill (B, NUM_SLOTS), which holds neutral values, as `parameters.draw` does."""
    every = np.arange(len(streams))
    jitter, blur, solarize = spec.color_jitter, spec.gaussian_blur, spec.solarize
    if jitter is not None:
        rows = every[streams.happens(jitter.prob, every)]
        vectors[rows, Slot.JITTER_ON] = 1
        vectors[rows, Slot.ORDER : Slot.ORDER + 4] = streams.permutations(4, rows)
        for change, (low, high) in enumerate(parameters.jitter_ranges(jitter)):
            factors = streams.uniform(low, high, rows)
            # Drawn in any case, as every later number depends on it.
            vectors[rows, Slot.BRIGHTNESS + change] = (
                factors if rgb or change < 2 else NEUTRAL_FACTORS[change]
            )
    if rgb and spec.random_gray_scale is not None:
        vectors[:, Slot.GRAY_ON] = streams.happens(spec.random_gray_scale, every)
    if blur is not None:
        rows = every[streams.happens(blur.prob, every)]
        sizes = np.array(blur.kernel_sizes)
        vectors[rows, Slot.BLUR_ON] = 1
        vectors[rows, Slot.BLUR_SIGMA] = streams.uniform(*blur.sigmas, rows)
        choice = streams.integers(np.full(len(rows), len(sizes)), rows)
        vectors[rows, Slot.BLUR_SIZE] = sizes[choice]
    if solarize is not None:
        rows = every[streams.happens(solarize.prob, every)]
        vectors[rows, Slot.SOLARIZE_ON] = 1
        vectors[rows, Slot.SOLARIZE_THRESHOLD] = solarize.threshold
