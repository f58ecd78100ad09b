"""The worker stage: crops, rotates, resizes and flips one image.

Pixels equal those of torchvision: for Pillow images if Pillow resamples, for uint8 tensors if
torch does. With AVX2 torch is three to four times as fast. Single values of the two differ by one
level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from lightly_core.data.channels import Source as Source
from lightly_core.data.channels import image_size as image_size
from lightly_core.data.channels import prepare as prepare
from lightly_core.data.views.geometry import Box, Geometry

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}

#: What `torch.nn.functional.interpolate` calls, writing into a given tensor.
_RESIZERS = {
    "bilinear": torch.ops.aten._upsample_bilinear2d_aa.out,
    "bicubic": torch.ops.aten._upsample_bicubic2d_aa.out,
}

Resampler: TypeAlias = Literal["pillow", "torch"]


def select_channels(image: Source, channels: Sequence[int]) -> np.ndarray:
    """Return an array (H, W, C) with the given channels of what `prepare` returned."""
    return _as_array(image)[:, :, list(channels)]


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
        Tensor (C, height, width) with channels last in memory, uint8, or float32 in [0, 1] for
        float images.
    """
    if geometry.angle:
        planes = rotated_planes(image, geometry)
    elif isinstance(image, np.ndarray) and resampler == "torch":
        pixels = image[geometry.box.rows, geometry.box.columns]
        if pixels.shape[:2] == tuple(size):
            return channels_last(_flipped(pixels, geometry))
        return _resized_by_torch(pixels, geometry, size, interpolation)
    else:
        planes = to_planes(_crop(image, geometry.box))
    same_size = planes[0].size == (size[1], size[0])
    if resampler == "torch" and not same_size:
        return _resized_by_torch(to_array(planes), geometry, size, interpolation)
    if not same_size:
        method = RESAMPLING[interpolation]
        planes = [plane.resize((size[1], size[0]), method) for plane in planes]
    return channels_last(_flipped(to_array(planes), geometry))


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
        Contiguous tensor (C, height, width), otherwise as `make_view`.
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
    return channels_last(to_array(planes)).contiguous()


def _resized_by_torch(
    pixels: np.ndarray, geometry: Geometry, size: tuple[int, int], interpolation: str
) -> Tensor:
    batch = torch.from_numpy(np.array(pixels, order="C")).permute(2, 0, 1)[None]  # (1, C, H, W)
    if batch.dtype == torch.uint8 and batch.shape[1] == 3:
        # `interpolate` would move the channels, which takes as long as the rest.
        view = batch.new_empty(1, *size, 3).permute(0, 3, 1, 2)
        _RESIZERS[interpolation](batch, size, align_corners=False, out=view)
    else:
        view = F.interpolate(batch, size, mode=interpolation, antialias=True, align_corners=False)
        view = view.contiguous(memory_format=torch.channels_last)
    if view.is_floating_point():
        view.clamp_(0, 1)  # bicubic interpolation overshoots
    flips = [dim for dim, on in ((2, geometry.upside_down), (3, geometry.mirror)) if on]
    view = view.flip(flips) if flips else view
    return view[0]


def _crop(image: Source, box: Box) -> Source:
    top, left, height, width = box
    if isinstance(image, np.ndarray):
        return image[box.rows, box.columns]
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


def to_array(planes: Sequence[Image.Image]) -> np.ndarray:
    """Return the channels of all planes as one array (H, W, C)."""
    arrays = [_as_array(plane) for plane in planes]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=2)


def _flipped(pixels: np.ndarray, geometry: Geometry) -> np.ndarray:
    return pixels[:: -1 if geometry.upside_down else 1, :: -1 if geometry.mirror else 1]


def channels_last(pixels: np.ndarray) -> Tensor:
    """Copy (H, W, C) into a new tensor (C, H, W) without moving channels in memory.

    Floats are clipped to [0, 1].
    """
    # Always a copy, since Pillow's memory is read-only.
    pixels = np.array(pixels, order="C")
    if pixels.dtype == np.float32:
        np.clip(pixels, 0, 1, out=pixels)  # bicubic interpolation overshoots
    return torch.from_numpy(pixels).permute(2, 0, 1)


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
