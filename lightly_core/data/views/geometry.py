"""Where a view lies in its image: random crops, rotations and flips, without any pixels."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lightly_core.config.options.augmentations import ChannelDropArgs, RandomResizeArgs
from lightly_core.config.options.transform import ViewSpec
from lightly_core.data.views.parameters import bernoulli, uniform

CROP_TRIES = 10  # as in torchvision's RandomResizedCrop


class Box(NamedTuple):
    """Part of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def rows(self) -> slice:
        """The rows of an array (H, W, C)."""
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        """The columns of an array (H, W, C)."""
        return slice(self.left, self.left + self.width)


class Geometry(NamedTuple):
    """Geometric changes of one view, which precede the photometric ones.

    Attributes:
        box: The crop, in the coordinates of the rotated image.
        angle: Rotation about the image's centre, counter-clockwise in degrees; 0 for none.
        rotation_filter: Interpolation of the rotation.
        mirror: Left-right flip.
        upside_down: Top-bottom flip.
    """

    box: Box
    angle: float = 0.0
    rotation_filter: str = "bilinear"
    mirror: bool = False
    upside_down: bool = False


def sample_geometry(spec: ViewSpec, height: int, width: int, rng: np.random.Generator) -> Geometry:
    """Sample rotation, crop and flips of one view of an image of `height` x `width` pixels."""
    rotation, flip = spec.random_rotation, spec.random_flip
    angle, rotation_filter = 0.0, "bilinear"
    if rotation is not None and bernoulli(rotation.prob, rng):
        angle = uniform(-rotation.degrees, rotation.degrees, rng)
        rotation_filter = rotation.interpolation
    box = Box(0, 0, height, width)
    if spec.random_resize is not None:
        box = sample_box(height, width, spec.random_resize, rng)
    mirror = flip is not None and bernoulli(flip.horizontal_prob, rng)
    upside_down = flip is not None and bernoulli(flip.vertical_prob, rng)
    return Geometry(box, angle, rotation_filter, mirror, upside_down)


def sample_box(height: int, width: int, args: RandomResizeArgs, rng: np.random.Generator) -> Box:
    """Sample a crop: area uniform, aspect ratio log-uniform, position uniform.

    After ten tries that do not fit into the image, the largest centred crop with an allowed aspect
    ratio is used (Szegedy et al. 2015, https://arxiv.org/abs/1409.4842, in torchvision's form).
    """
    area = height * width
    low, high = math.log(args.min_ratio), math.log(args.max_ratio)
    for _ in range(CROP_TRIES):
        target = area * uniform(args.min_scale, args.max_scale, rng)
        ratio = math.exp(uniform(low, high, rng))
        crop_width = round(math.sqrt(target * ratio))
        crop_height = round(math.sqrt(target / ratio))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            top = int(rng.integers(height - crop_height + 1))
            left = int(rng.integers(width - crop_width + 1))
            return Box(top, left, crop_height, crop_width)
    return centred_box(height, width, args)


def centred_box(height: int, width: int, args: RandomResizeArgs) -> Box:
    """Return the largest centred crop with an allowed aspect ratio."""
    crop_height, crop_width = height, width
    if width / height < args.min_ratio:
        crop_height = max(1, round(width / args.min_ratio))
    elif width / height > args.max_ratio:
        crop_width = max(1, round(height * args.max_ratio))
    return Box((height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width)


def least_scale(box: Box, size: tuple[int, int]) -> float:
    """Return the fraction, at most 1, to which an image may be shrunk so that a crop fills a view.

    Args:
        box: The crop, in pixels of the whole image.
        size: (height, width) of the view.
    """
    return min(1.0, max(size[0] / box.height, size[1] / box.width))


def scaled(geometry: Geometry, size: tuple[int, int], new_size: tuple[int, int]) -> Geometry:
    """Return the geometry for an image that was shrunk from `size` to `new_size`.

    Edges of the crop are rounded to whole pixels of the smaller image.
    """
    if size == new_size:
        return geometry
    box = geometry.box
    top, height = _scaled_edges(box.top, box.height, size[0], new_size[0])
    left, width = _scaled_edges(box.left, box.width, size[1], new_size[1])
    return geometry._replace(box=Box(top, left, height, width))


def _scaled_edges(start: int, length: int, old: int, new: int) -> tuple[int, int]:
    first = min(round(start * new / old), new - 1)
    last = min(max(round((start + length) * new / old), first + 1), new)
    return first, last - first


def describe_crops(
    boxes: npt.ArrayLike, mirror: npt.ArrayLike, upside_down: npt.ArrayLike, size: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Return crops of images of one size in the form of `lightly_core.contracts.Batch.crops`.

    Args:
        boxes: (B, 4): top, left, height, width in pixels.
        mirror: (B,) bool.
        upside_down: (B,) bool.
        size: (height, width) of the images in pixels.

    Returns:
        (B, 6).
    """
    top, left, height, width = np.asarray(boxes).T
    whole_height, whole_width = size
    sides = (left / whole_width, top / whole_height, width / whole_width, height / whole_height)
    return np.stack([*sides, mirror, upside_down], axis=1).astype(np.float32)


def sample_kept_channels(args: ChannelDropArgs, rng: np.random.Generator) -> tuple[int, ...]:
    """Sample the channels to keep, in ascending order.

    Channels are dropped one after the other. The probability of each is proportional to its
    weight among the remaining ones.
    """
    weights = np.asarray(args.weight_drop, dtype=np.float64)
    num_drop = len(weights) - args.num_channels_keep
    if num_drop == 0:
        return tuple(range(len(weights)))
    dropped = rng.choice(len(weights), size=num_drop, replace=False, p=weights / weights.sum())
    return tuple(channel for channel in range(len(weights)) if channel not in dropped)
