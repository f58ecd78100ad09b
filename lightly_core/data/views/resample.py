"""Crop, resize and flip many small images of one size by two batched matrix products.

Resizing is separable: a view is ``rows @ image @ columns^T``, where a row of either matrix holds
the weights of the image's pixels in one pixel of the view. Weights outside the crop are 0 and a
flip reverses the rows, so that crop and flip need no further work. As in the worker, images are
first resized in width, rounded to integers, and then resized in height. Single values differ from
those of the worker's resampler ``torch`` by one or two levels.

The work grows with the cube of the side; it is meant for sides up to about a hundred pixels.

Shapes: N images in memory, B images of one call, C channels, H and W pixels of an image.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightly_core.data.views.batch_sampling import SampledView

# Images that are computed at once on a CPU; the intermediate results fit into its cache.
_CPU_ROUND = 64


def resize_weights(length: int, size: int, interpolation: str) -> npt.NDArray[np.float64]:
    """Return the weights of antialiased resizing along one axis.

    As in Pillow, and in torch with ``antialias=True``: a pixel's neighbours are weighted by a
    kernel that is widened when an image is reduced. The bicubic kernel is that of Keys with
    a = -0.5 (Keys 1981, https://doi.org/10.1109/TASSP.1981.1163711).

    Args:
        length: Pixels before resizing.
        size: Pixels after resizing.
        interpolation: ``bilinear`` or ``bicubic``.

    Returns:
        (size, length); every row sums to 1.
    """
    scale = length / size
    centre = scale * (np.arange(size) + 0.5)  # of each new pixel, in old ones
    distance = np.abs(np.arange(length) + 0.5 - centre[:, None]) / max(scale, 1.0)
    weights = _KERNELS[interpolation](distance)
    normalised: npt.NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return normalised


def _triangle(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.maximum(1 - distance, 0)


def _keys(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return np.where(distance < 1, near, np.where(distance < 2, far, 0.0))


_KERNELS = {"bilinear": _triangle, "bicubic": _keys}


class AxisWeights:
    """The matrices of all crops along one axis.

    Args:
        side: Pixels of an image along the axis.
        size: Pixels of a view.
        interpolation: ``bilinear`` or ``bicubic``.
        device: Where the matrices are stored.
    """

    def __init__(
        self, side: int, size: int, interpolation: str, device: torch.device | str
    ) -> None:
        # The offset of a crop only shifts its weights. So one matrix per length and flip is
        # stored, with zeros on both sides; the matrix of an offset is a window of it.
        stored = np.zeros((2, side + 1, size, 2 * side), np.float32)
        for length in range(1, side + 1):
            weights = resize_weights(length, size, interpolation)
            stored[0, length, :, side : side + length] = weights
            stored[1, length, :, side : side + length] = weights[::-1]
        table = torch.from_numpy(stored).to(device)
        row, matrix = 2 * side, 2 * side * size
        self._windows = table.as_strided(
            (2, side + 1, side + 1, size, side), ((side + 1) * matrix, matrix, 1, row, 1)
        )
        self._side = side

    def __call__(self, start: Tensor, length: Tensor, flip: Tensor) -> Tensor:
        """Return the matrices of B crops.

        Args:
            start: First pixel of each crop, (B,) int64 on the device.
            length: Pixels of each crop, (B,) int64.
            flip: 1 for a flipped view, else 0, (B,) int64.

        Returns:
            (B, size, side) float32.
        """
        return self._windows[flip, length, self._side - start]


class Resampler:
    """Computes views of images that are stored in one tensor.

    Args:
        images: All images, (N, H, C, W) uint8. With this order of axes neither of the two
            products needs a transposition.
        interpolation: ``bilinear`` or ``bicubic``.
        device: Where views are computed. Images on another device are copied batch by batch.
    """

    def __init__(self, images: Tensor, interpolation: str, device: torch.device) -> None:
        self.images = images
        self.interpolation = interpolation
        self.device = device
        self._axes: dict[tuple[int, int], AxisWeights] = {}

    def __call__(self, indices: Tensor, sampled: SampledView, size: tuple[int, int]) -> Tensor:
        """Compute one view of B images.

        Args:
            indices: Positions of the images, (B,) int64 on the CPU.
            sampled: Crops and flips.
            size: (height, width) of the view in pixels.

        Returns:
            (B, C, height, width), uint8, on the device; on a CPU with channels last in memory,
            else contiguous.
        """
        _, side_y, num_channels, side_x = self.images.shape
        rows, columns = self._axis(side_y, size[0]), self._axis(side_x, size[1])
        numbers = np.column_stack([sampled.boxes, sampled.mirror, sampled.upside_down])
        numbers = np.ascontiguousarray(numbers.T, np.int64)  # (6, B)
        geometry = self._moved(torch.from_numpy(numbers))
        pixels = self._pixels(indices)
        on_cpu = self.device.type == "cpu"
        view = torch.empty(
            (len(indices), num_channels, *size),
            dtype=torch.uint8,
            device=self.device,
            memory_format=torch.channels_last if on_cpu else torch.contiguous_format,
        )
        step = _CPU_ROUND if on_cpu else max(1, len(indices))
        with _exact_products():
            for start in range(0, len(indices), step):
                chosen = slice(start, start + step)
                top, left, height, width, mirror, upside_down = geometry[:, chosen].unbind(0)
                across = columns(left, width, mirror).transpose(1, 2)  # (B, W, width)
                down = rows(top, height, upside_down)  # (B, height, H)
                view[chosen] = _products(pixels[chosen].float(), down, across)
        return view

    def _axis(self, side: int, size: int) -> AxisWeights:
        if (side, size) not in self._axes:
            self._axes[side, size] = AxisWeights(side, size, self.interpolation, self.device)
        return self._axes[side, size]

    def _pixels(self, indices: Tensor) -> Tensor:
        """Return the images (B, H, C, W) on the device."""
        if self.images.device.type != "cpu":
            return self.images.index_select(0, self._moved(indices))
        return self._moved(self.images.index_select(0, indices))

    def _moved(self, tensor: Tensor) -> Tensor:
        if self.device.type != "cuda":
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)  # without waiting


def _products(pixels: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Resize (B, H, C, W) in width, then in height; returns (B, C, height, width) in [0, 255]."""
    batch, side_y, num_channels, side_x = pixels.shape
    wide = torch.bmm(pixels.view(batch, side_y * num_channels, side_x), across)
    wide = _whole(wide).view(batch, side_y, -1)
    view = _whole(torch.bmm(down, wide))
    return view.view(batch, down.shape[1], num_channels, -1).permute(0, 2, 1, 3)


def _whole(values: Tensor) -> Tensor:
    """Round in place to [0, 255], halves up as in the worker; halves are common in crops."""
    return values.add_(0.5).floor_().clamp_(0, 255)  # bicubic interpolation overshoots


@contextmanager
def _exact_products() -> Iterator[None]:
    """Multiply in full float32; TF32 would change one pixel in ten by a level."""
    precision = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("highest")
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
