"""Checks of transforms."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lightly_core.config.options.transform import TransformArgs, ViewSpec
from lightly_core.contracts import Sample, Transform
from lightly_core.data.decode import convert
from lightly_core.data.reading import plans_views
from lightly_core.errors import LightlyError
from lightly_core.testing.checks import Check, require

_Image = Image.Image | np.ndarray
_USUAL_SIZE = (48, 60)
_UNUSUAL_SIZES = {"tiny": (1, 1), "narrow": (2, 300), "huge": (3000, 4000)}


def transform_checks(
    factory: Callable[[TransformArgs], Transform], args: TransformArgs | None = None
) -> list[Check]:
    """Return the checks of a transform.

    Args:
        factory: Returns a new transform for options, as in a run. Usually the class itself.
        args: The options, which declare the number of views and their sizes. Default: two views of
            32 pixels.

    Returns:
        One check for each requirement, T1 to T5.
    """
    case = _Case(factory, args or TransformArgs(image_size=32, num_views=2))
    return [
        Check(code, title, partial(function, case)) for code, (title, function) in _CHECKS.items()
    ]


class _Case:
    """Options of a transform, and the transform built from them.

    Args:
        factory: Returns a new transform.
        args: Its options.
    """

    def __init__(self, factory: Callable[[TransformArgs], Transform], args: TransformArgs) -> None:
        self.build: Callable[[], Transform] = partial(factory, args)
        self.channels = args.channels
        self.source_channels = args.source_channels
        self.specs: Sequence[ViewSpec] = args.view_specs()

    def image(self, size: tuple[int, int] = _USUAL_SIZE) -> _Image:
        """Return a random image of a size (height, width), as the loader of a run returns it."""
        shape = (*size, self.source_channels)
        pixels = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
        if self.source_channels == 3:
            return Image.fromarray(pixels)
        return Image.fromarray(pixels[:, :, 0]) if self.source_channels == 1 else pixels

    def require_views(self, sample: Sample, what: str) -> None:
        """Raise unless the first stage's views are those that the options declare."""
        require(
            len(sample.views) == len(self.specs),
            f"{what} gave {len(sample.views)} views, the options declare {len(self.specs)}",
        )
        for index, (view, spec) in enumerate(zip(sample.views, self.specs, strict=True)):
            shape, expected = tuple(view.shape), (self.channels, *spec.size)
            require(
                shape == expected, f"view {index} of {what} has shape {shape}, expected {expected}"
            )
            if view.dtype == torch.float32:
                inside = view.min() >= 0 and view.max() <= 1
                require(inside, f"view {index} of {what} has float values outside of [0, 1]")
            else:
                require(
                    view.dtype == torch.uint8,
                    f"view {index} of {what} is of {view.dtype}, expected uint8 or float32",
                )


def _sample(transform: Transform, image: _Image, seed: int = 0, index: int = 0) -> Sample:
    return transform.sample(image, np.random.default_rng(seed), index)


def _finished(transform: Transform, samples: Sequence[Sample]) -> list[Tensor]:
    """Return the views that the second stage computes for a batch."""
    pixels = [torch.stack(view) for view in zip(*(s.views for s in samples), strict=True)]
    sampled = [torch.stack(one) for one in zip(*(s.parameters for s in samples), strict=True)]
    return transform.views(pixels, sampled)


def _declared(case: _Case) -> None:
    transform, image = case.build(), case.image()
    before = np.array(image)
    samples = [_sample(transform, image, seed, index=7 + seed) for seed in range(3)]
    require(np.array_equal(np.array(image), before), "the image was changed in place")
    for seed, sample in enumerate(samples):
        case.require_views(sample, f"an image of {_USUAL_SIZE} pixels")
        require(
            sample.index == 7 + seed, f"the sample has index {sample.index}, expected {7 + seed}"
        )
        shapes = [(value.ndim, value.dtype) for value in sample.parameters]
        require(
            shapes == [(1, torch.float32)] * len(case.specs),
            f"parameters are {shapes}, expected one vector of float32 per view",
        )
        crops = [(tuple(crop.shape), crop.dtype) for crop in sample.crops]
        require(
            not crops or crops == [((6,), torch.float32)] * len(case.specs),
            f"crops are {crops}, expected none, or six numbers of float32 per view",
        )
    views = _finished(transform, samples)
    found = [(tuple(view.shape), view.dtype) for view in views]
    expected = [((3, case.channels, *spec.size), torch.float32) for spec in case.specs]
    require(found == expected, f"the second stage gave {found}, expected {expected}")
    for index, view in enumerate(views):
        require(torch.isfinite(view).all(), f"view {index} is not finite after the second stage")


def _all_tensors(transform: Transform, case: _Case) -> list[Tensor]:
    samples = [_sample(transform, case.image(), seed) for seed in range(4)]
    first = [value for sample in samples for value in (*sample.views, *sample.parameters)]
    extras = [value for sample in samples for _, value in sorted(sample.extras.items())]
    return first + extras + _finished(transform, samples)


def _same(first: Sequence[Tensor], second: Sequence[Tensor]) -> bool:
    return len(first) == len(second) and all(map(torch.equal, first, second))


def _seed(case: _Case) -> None:
    transform = case.build()
    found = []
    for seed in (1, 2):
        # Views must not depend on the global random generators.
        torch.manual_seed(seed)
        states = random.getstate(), np.random.get_state()
        random.seed(seed)
        np.random.seed(seed)
        try:
            found.append(_all_tensors(transform, case))
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
    require(
        _same(*found),
        "the same seeds gave different views; sample from `rng` only, and only in `sample`",
    )
    again = _all_tensors(case.build(), case)
    require(_same(found[0], again), "the same seeds gave different views in a new transform")


def _pickle(case: _Case) -> None:
    transform = case.build()
    twin = pickle.loads(pickle.dumps(transform))
    same = _same(_all_tensors(twin, case), _all_tensors(transform, case))
    require(same, "the views are different after pickling")


def _unusual_images(case: _Case) -> None:
    transform = case.build()
    images: dict[str, _Image] = {
        f"a {what} image of {size} pixels": case.image(size)
        for what, size in _UNUSUAL_SIZES.items()
    }
    if case.source_channels in (1, 3):
        transparent = Image.fromarray(np.full((40, 30, 4), 128, dtype=np.uint8))
        images["a transparent image"] = convert(transparent, case.source_channels)
        images["a grey image"] = Image.new("L", (30, 40), 100)
    size = (40, 30, case.source_channels)
    images["an image of float32"] = np.random.default_rng(0).random(size, dtype=np.float32)
    for what, image in images.items():
        try:
            sample = _sample(transform, image)
        except (ValueError, LightlyError) as error:
            require(str(error), f"the error for {what} has no message")
            continue
        except Exception as error:
            raise AssertionError(
                f"{what} raised {type(error).__name__} ({error}), expected views or a ValueError"
            ) from error
        case.require_views(sample, what)
        for view in _finished(transform, [sample]):
            require(torch.isfinite(view).all(), f"{what} gave views that are not finite")


def _plan(case: _Case) -> None:
    transform, image = case.build(), case.image()
    expected = _sample(transform, image, seed=1, index=2)
    if not plans_views(transform):
        return
    height, width = _USUAL_SIZE
    plan = transform.plan((height, width), np.random.default_rng(1), 2)
    require(0 < plan.least_scale <= 1, f"least_scale is {plan.least_scale}, expected in (0, 1]")
    sample = plan.make(image)
    same = _same(
        [*sample.views, *sample.parameters, *sample.crops],
        [*expected.views, *expected.parameters, *expected.crops],
    )
    same = same and sample.index == expected.index
    require(same, "plan().make() gave another sample than sample()")
    smaller = case.image((-(-height // 2), -(-width // 2)))
    plan = transform.plan((height, width), np.random.default_rng(1), 2)
    case.require_views(plan.make(smaller), "an image at half of the planned size")


_CHECKS: dict[str, tuple[str, Callable[[_Case], None]]] = {
    "T1": ("views_have_the_declared_number_and_size", _declared),
    "T2": ("seed_decides_all", _seed),
    "T3": ("pickle_round_trip", _pickle),
    "T4": ("unusual_images_work_or_are_refused", _unusual_images),
    "T5": ("plan_gives_what_sample_gives", _plan),
}
