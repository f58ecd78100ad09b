"""The worker stage: crops, rotates, resizes and flips one image.

Pixels equal those of torchvision: for Pillow images if Pillow resamples, for uint8 tensors if
torch does. With AVX2 torch is three to four times as fast. Single values of the two differ by one
level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from lightly_core.config.options.augmentations import ChannelDropArgs, RandomResizeArgs
from lightly_core.config.options.transform import ViewSpec
from lightly_core.data.views.parameters import bernoulli, uniform

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}

Source: TypeAlias = Image.Image | np.ndarray
Resampler: TypeAlias = Literal["pillow", "torch"]

CROP_TRIES = 10  # as in torchvision's RandomResizedCrop
_TO_RGB = ("1", "L", "P", "LA", "PA", "RGBA", "RGBX", "CMYK", "YCbCr")
_TO_GRAY = ("1", "LA")


class Box(NamedTuple):
    """Part of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int


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


# --------------------------------------------------------------------------- sampling


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


# --------------------------------------------------------------------------- pixels


def prepare(image: Source, num_channels: int) -> Source:
    """Convert a decoded image to `num_channels` channels.

    Args:
        image: Pillow image of 8 bit per channel, or an array (H, W) or (H, W, C), uint8 or
            floating point in [0, 1].
        num_channels: Channels to return. With three, grey images become RGB.

    Returns:
        A Pillow image in mode L or RGB, or an array (H, W, num_channels), uint8 or float32.

    Raises:
        ValueError: Channels, shape or number type do not fit.
    """
    if isinstance(image, np.ndarray):
        return _prepare_array(image, num_channels)
    if image.mode == "RGBA" and num_channels == 4:
        # As an array: Pillow would weight the other channels by the fourth when resizing.
        return np.asarray(image)
    if num_channels == 3 and image.mode in _TO_RGB:
        return image.convert("RGB")
    if num_channels == 1 and image.mode in _TO_GRAY:
        return image.convert("L")
    if (image.mode, num_channels) not in {("L", 1), ("RGB", 3)}:
        raise ValueError(
            f"the image has mode {image.mode}, the network expects {num_channels} channel(s) of "
            "8 bit; change transform_args.num_channels, or convert the image"
        )
    return image


def _prepare_array(image: np.ndarray, num_channels: int) -> np.ndarray:
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.size == 0:
        raise ValueError(f"expected an image of shape (H, W, C), got {image.shape}")
    if image.shape[2] == 1 and num_channels == 3:
        image = np.broadcast_to(image, (*image.shape[:2], 3))
    if image.shape[2] != num_channels:
        raise ValueError(
            f"the image has {image.shape[2]} channel(s), the network expects {num_channels}; "
            "change transform_args.num_channels, or convert the image"
        )
    if image.dtype == np.uint8:
        return image
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(
            f"expected pixels of type uint8, or floating point in [0, 1], got {image.dtype}; "
            "divide by the largest value"
        )
    return image.astype(np.float32, copy=False)


def select_channels(image: Source, channels: Sequence[int]) -> np.ndarray:
    """Return an array (H, W, C) with the given channels of what `prepare` returned."""
    return _as_array(image)[:, :, list(channels)]


def image_size(image: Source) -> tuple[int, int]:
    """Return (height, width) in pixels."""
    if isinstance(image, np.ndarray):
        return image.shape[0], image.shape[1]
    return image.height, image.width


def make_view(
    image: Source,
    geometry: Geometry,
    size: tuple[int, int],
    interpolation: str,
    resampler: Resampler = "pillow",
) -> Tensor:
    """Compute one view of an image.

    Args:
        image: What `prepare` returned.
        geometry: Rotation, crop and flips.
        size: (height, width) of the view in pixels.
        interpolation: ``bilinear`` or ``bicubic``, antialiased.
        resampler: Library that resizes.

    Returns:
        Contiguous tensor (C, height, width), uint8, or float32 in [0, 1] for float images.
    """
    if geometry.angle:
        planes = rotated_planes(image, geometry)
    else:
        planes = to_planes(_crop(image, geometry.box))
    same_size = planes[0].size == (size[1], size[0])
    if resampler == "torch" and not same_size:
        return _resized_by_torch(to_array(planes), geometry, size, interpolation)
    if not same_size:
        method = RESAMPLING[interpolation]
        planes = [plane.resize((size[1], size[0]), method) for plane in planes]
    pixels = to_array(planes, mirror=geometry.mirror, upside_down=geometry.upside_down)
    return channels_first(pixels)


def resized_centre(
    image: Source, resized: tuple[int, int], size: tuple[int, int], interpolation: str
) -> Tensor:
    """Resize to `resized` and crop the centre, without computing the rest.

    Args:
        image: What `prepare` returned.
        resized: (height, width) of the whole image after resizing.
        size: (height, width) of the crop, at most `resized`.
        interpolation: As in `make_view`.

    Returns:
        As `make_view`.
    """
    height, width = size
    old_height, old_width = image_size(image)
    top, left = round((resized[0] - height) / 2), round((resized[1] - width) / 2)
    down, right = old_height / resized[0], old_width / resized[1]  # pixels per resized pixel
    box = (
        left * right,
        top * down,
        min((left + width) * right, old_width),
        min((top + height) * down, old_height),
    )
    planes = [
        plane.resize((width, height), RESAMPLING[interpolation], box=box)
        for plane in to_planes(image)
    ]
    return channels_first(to_array(planes))


def _resized_by_torch(
    pixels: np.ndarray, geometry: Geometry, size: tuple[int, int], interpolation: str
) -> Tensor:
    # Channels stay last in memory, the layout of torch's fast kernel.
    batch = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None]  # (1, C, H, W)
    view = F.interpolate(batch, size, mode=interpolation, antialias=True, align_corners=False)[0]
    if view.is_floating_point():
        view.clamp_(0, 1)  # bicubic interpolation overshoots
    flips = [dim for dim, on in ((1, geometry.upside_down), (2, geometry.mirror)) if on]
    return (view.flip(flips) if flips else view).contiguous()


def _crop(image: Source, box: Box) -> Source:
    top, left, height, width = box
    if isinstance(image, np.ndarray):
        return image[top : top + height, left : left + width]
    if (height, width) == image_size(image):
        return image
    return image.crop((left, top, left + width, top + height))


def to_planes(image: Source) -> list[Image.Image]:
    """Return the channels as Pillow images: one image if Pillow can hold all, else one each."""
    if isinstance(image, Image.Image):
        return [image]
    height, width, num_channels = image.shape
    if image.dtype == np.uint8 and num_channels == 3:
        return [Image.fromarray(np.ascontiguousarray(image))]
    if image.dtype == np.uint8 and num_channels == 4:
        # CMYK has four independent channels; in RGBA the fourth would weight the others.
        return [Image.frombytes("CMYK", (width, height), image.tobytes())]
    return [
        Image.fromarray(np.ascontiguousarray(image[:, :, channel]))
        for channel in range(num_channels)
    ]


def to_array(
    planes: Sequence[Image.Image], *, mirror: bool = False, upside_down: bool = False
) -> np.ndarray:
    """Return the channels of all planes as one array (H, W, C), flipped as requested."""
    arrays = [_as_array(plane) for plane in planes]
    pixels = arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=2)
    return pixels[:: -1 if upside_down else 1, :: -1 if mirror else 1]


def channels_first(pixels: np.ndarray) -> Tensor:
    """Copy (H, W, C) into a new contiguous tensor (C, H, W); floats are clipped to [0, 1]."""
    # Always a copy, since Pillow's memory is read-only.
    pixels = np.array(pixels.transpose(2, 0, 1), order="C")
    if pixels.dtype == np.float32:
        np.clip(pixels, 0, 1, out=pixels)  # bicubic interpolation overshoots
    return torch.from_numpy(pixels)


# --------------------------------------------------------------------------- rotation


def rotated_planes(image: Source, geometry: Geometry) -> list[Image.Image]:
    """Crop a box from the image rotated about its centre; beyond its border it is reflected.

    Only the pixels in the box are read, so a small crop of a large image is fast.
    """
    box = geometry.box
    height, width = image_size(image)
    angle = math.radians(geometry.angle)
    cos, sin = math.cos(angle), math.sin(angle)

    # The point (u, v) of the rotated image is the point (x, y) of the image:
    # x - width / 2 = cos * (u - width / 2) - sin * (v - height / 2), similarly for y.
    origin_u, origin_v = box.left - width / 2, box.top - height / 2
    origin_x = cos * origin_u - sin * origin_v + width / 2
    origin_y = sin * origin_u + cos * origin_v + height / 2
    reach_x = sorted((0.0, cos * box.width)), sorted((0.0, -sin * box.height))
    reach_y = sorted((0.0, sin * box.width)), sorted((0.0, cos * box.height))
    margin = 3  # pixels that bicubic interpolation reads beyond the box
    first_x = math.floor(origin_x + reach_x[0][0] + reach_x[1][0]) - margin
    last_x = math.ceil(origin_x + reach_x[0][1] + reach_x[1][1]) + margin
    first_y = math.floor(origin_y + reach_y[0][0] + reach_y[1][0]) - margin
    last_y = math.ceil(origin_y + reach_y[0][1] + reach_y[1][1]) + margin

    window = _reflected_window(image, (first_y, last_y), (first_x, last_x))
    matrix = (cos, -sin, origin_x - first_x, sin, cos, origin_y - first_y)
    return [
        plane.transform(
            (box.width, box.height),
            Image.Transform.AFFINE,
            matrix,
            RESAMPLING[geometry.rotation_filter],
        )
        for plane in to_planes(window)
    ]


def _reflected_window(image: Source, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
    """Read rows and columns [first, last) of an image that is reflected at its border."""
    height, width = image_size(image)
    if min(rows[0], columns[0]) >= 0 and rows[1] <= height and columns[1] <= width:
        box = Box(rows[0], columns[0], rows[1] - rows[0], columns[1] - columns[0])
        return _as_array(_crop(image, box))
    y, x = reflect(np.arange(*rows), height), reflect(np.arange(*columns), width)
    return np.asarray(_as_array(image)[y[:, None], x])


def _as_array(image: Source) -> np.ndarray:
    array = np.asarray(image)
    return array[:, :, None] if array.ndim == 2 else array


def reflect(positions: np.ndarray, length: int) -> np.ndarray:
    """Reflect positions into [0, length) without repeating the edge: -1 becomes 1."""
    if length == 1:
        return np.zeros_like(positions)
    folded = positions % (2 * length - 2)
    return np.asarray(np.minimum(folded, 2 * length - 2 - folded))
