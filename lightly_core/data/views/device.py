"""Photometric changes and normalisation of a whole batch, on the training device.

A pure function of pixels and parameters. The parameters are read on the CPU, so the images that a
change applies to are known without waiting for the device, and only those are computed. Numbers
equal those of `torchvision.transforms.v2.functional` on float images. On a CPU, images of bytes are
left to `lightly_core.data.views.opencv`, if OpenCV is installed.

Shapes: N images of one call, C channels, H and W pixels; every image has values in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.data.views import opencv
from lightly_core.data.views.buffers import Buffers
from lightly_core.data.views.changes import LUMA, Kind, kind_and_radius, wanted
from lightly_core.data.views.parameters import ViewParameters

Change: TypeAlias = Callable[[Tensor, Tensor], Tensor]

# Float32 values that fit into the second-level cache of one core; the fastest power of 2.
_CACHED_VALUES = 1 << 18


# --------------------------------------------------------------------------- single changes


def _per_image(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)  # (N, 1, 1, 1)


def _luma(images: Tensor) -> Tensor:
    """Return the brightness of RGB images, (N, 1, H, W)."""
    red, green, blue = (images.narrow(1, channel, 1) for channel in range(3))
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def adjust_brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Multiply images by a factor each.

    Args:
        images: (N, C, H, W).
        factors: (N,), >= 0; 0 gives black, 1 changes nothing.

    Returns:
        New tensor (N, C, H, W), as for all functions of this section.
    """
    return (images * _per_image(factors)).clamp_(0, 1)


def adjust_contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Scale the differences from the mean brightness by `factors` (N,), see `adjust_brightness`."""
    mean = images.mean(dim=(2, 3), keepdim=True)  # (N, C, 1, 1)
    mean = _luma(mean) if images.shape[1] == 3 else mean.mean(dim=1, keepdim=True)
    factor = _per_image(factors)
    return (images * factor).add_(mean * (1 - factor)).clamp_(0, 1)


def adjust_saturation(images: Tensor, factors: Tensor) -> Tensor:
    """Scale the differences from grey; `images` (N, 3, H, W), `factors` (N,) with 0 for grey."""
    return torch.lerp(_luma(images), images, _per_image(factors)).clamp_(0, 1)


def adjust_hue(images: Tensor, shifts: Tensor) -> Tensor:
    """Shift the hue.

    The result equals a conversion to HSV and back, but needs no comparisons, which cost a CPU as
    much as ten additions. With ``low`` and ``high`` the extremes of a pixel's channels, a channel
    is ``low + (high - low) * ramp``. The ramp is 1 up to a sixth of the colour circle from the
    channel's own hue (red 0, green 1/3, blue 2/3), and falls to 0 at two sixths. Conversely, the
    hue's distance from red is ``(1 + ramp_green + ramp_blue - ramp_red) / 6``, towards green if
    green is above blue.

    Args:
        images: (N, 3, H, W).
        shifts: (N,), fraction of the colour circle, in [-0.5, 0.5].
    """
    red, green, blue = images.unbind(1)  # (N, H, W) each
    high = torch.maximum(red, green)
    low = torch.minimum(red, green)
    high, low = torch.maximum(high, blue), torch.minimum(low, blue)
    chroma = high - low

    distance = (green + blue).sub_(red).sub_(low).add_(chroma)
    distance.div_((6 * chroma).clamp_(min=1e-12))  # grey has no hue: 0 / 1e-12
    hue = distance.copysign_(green - blue).add_(shifts.view(-1, 1, 1))

    result = torch.empty_like(images, memory_format=torch.contiguous_format)
    for channel in range(3):
        away = hue - channel / 3
        away.sub_(away.round()).abs_()  # (N, H, W), distance on the circle, [0, 0.5]
        ramp = away.mul_(-6).add_(2).clamp_(0, 1)
        torch.addcmul(low, ramp, chroma, out=result[:, channel])
    return result


def grayscale(images: Tensor, values: Tensor | None = None) -> Tensor:
    """Remove the colour of (N, 3, H, W), keeping three channels; `values` is ignored."""
    return _luma(images).expand_as(images).contiguous()


def solarize(images: Tensor, thresholds: Tensor) -> Tensor:
    """Invert the values at or above the image's threshold; `thresholds` (N,) in [0, 1]."""
    # 0 below the threshold, else 1; `sign` is faster on a CPU than `where`.
    inverted = (images - _per_image(thresholds)).sign_().add_(1).clamp_(max=1)
    return torch.lerp(images, 1 - images, inverted)


def gaussian_blur(images: Tensor, sigmas: Tensor, radius: int) -> Tensor:
    """Blur each image with its own standard deviation; the border is reflected.

    Computed by sums of shifted images. On one CPU core this is as fast as a depthwise convolution
    for many small images and up to three times as fast for a large one. The result is the same on
    any device.

    Args:
        images: (N, C, H, W).
        sigmas: (N,), standard deviation in pixels, > 0.
        radius: The kernel has 2 * radius + 1 pixels per side; limited to the side of the image
            minus 1.
    """
    for dim in (3, 2):
        reach = min(radius, images.shape[dim] - 1)
        if reach > 0:
            images = _blur_along(images, gaussian_kernels(sigmas, reach), dim)
    return images


def gaussian_kernels(sigmas: Tensor, radius: int) -> Tensor:
    """Return normalised kernels (N, 2 * radius + 1) for standard deviations (N,) in pixels."""
    offsets = torch.arange(-radius, radius + 1, device=sigmas.device, dtype=sigmas.dtype)
    weights = (-0.5 * (offsets / sigmas[:, None]).square()).exp()
    return weights / weights.sum(dim=1, keepdim=True)


def _blur_along(images: Tensor, kernels: Tensor, dim: int) -> Tensor:
    radius, length = kernels.shape[1] // 2, images.shape[dim]
    pad = (radius, radius, 0, 0) if dim == 3 else (0, 0, radius, radius)
    padded = F.pad(images, pad, mode="reflect")
    weights = kernels.view(len(images), -1, 1, 1, 1).unbind(1)  # (N, 1, 1, 1) each
    result = padded.narrow(dim, 0, length) * weights[0]
    for shift, weight in enumerate(weights[1:], start=1):
        result.addcmul_(padded.narrow(dim, shift, length), weight)
    return result


# --------------------------------------------------------------------------- all together

_CHANGES: dict[Kind, Change] = {
    Kind.BRIGHTNESS: adjust_brightness,
    Kind.CONTRAST: adjust_contrast,
    Kind.SATURATION: adjust_saturation,
    Kind.HUE: adjust_hue,
    Kind.GRAY: grayscale,
    Kind.SOLARIZE: solarize,
}


class Step(NamedTuple):
    """One change of some images of a chunk, with one value for each."""

    change: Change
    rows: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]


def plan(parameters: ViewParameters, chunk_size: int) -> list[list[Step]]:
    """Group the changes so that each is computed for many images of a chunk at once.

    Order: four rounds of jitter (the first change of each image in the first round, and so on),
    grey, blur, solarise. The plan is vectorised, since a Python loop over the images would take
    longer than the changes on a GPU.

    Args:
        parameters: The changes of each image.
        chunk_size: Consecutive images that are computed together, >= 1.

    Returns:
        Steps of each chunk; their rows count from the chunk's first image.
    """
    rows, keys, values = wanted(parameters)
    chunks = rows // chunk_size
    by_step = np.lexsort((rows, keys, chunks))
    rows, keys, values, chunks = rows[by_step], keys[by_step], values[by_step], chunks[by_step]
    starts = np.flatnonzero((np.diff(chunks, prepend=-1) != 0) | (np.diff(keys, prepend=-1) != 0))
    steps: list[list[Step]] = [[] for _ in range(-(-len(parameters) // chunk_size))]
    stops = np.append(starts, len(rows))[1:]
    for start, stop in zip(starts, stops, strict=True):
        chunk = int(chunks[start])
        step = Step(
            _change(int(keys[start])), rows[start:stop] - chunk * chunk_size, values[start:stop]
        )
        steps[chunk].append(step)
    return steps


def _change(key: int) -> Change:
    kind, radius = kind_and_radius(key)
    return partial(gaussian_blur, radius=radius) if kind is Kind.BLUR else _CHANGES[kind]


def apply_steps(images: Tensor, steps: Sequence[Step]) -> Tensor:
    """Apply the changes; `images` (N, C, H, W) may be overwritten.

    Rows and values of all steps are copied to the device asynchronously, in two copies.
    """
    if not steps:
        return images
    sizes = [len(step.rows) for step in steps]
    all_rows = torch.from_numpy(np.concatenate([step.rows for step in steps]))
    all_values = torch.from_numpy(np.concatenate([step.values for step in steps]))
    rows_of = torch.split(_to_device(all_rows, images.device), sizes)
    values_of = torch.split(_to_device(all_values, images.device), sizes)
    for step, rows, values in zip(steps, rows_of, values_of, strict=True):
        if len(rows) == len(images):
            images = step.change(images, values)  # rows are in ascending order
        else:
            images.index_copy_(0, rows, step.change(images.index_select(0, rows), values))
    return images


def photometric(
    pixels: Tensor,
    parameters: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    buffers: Buffers | None = None,
) -> Tensor:
    """Compute the network's input for one view.

    Args:
        pixels: (B, C, H, W), uint8, or floating point in [0, 1].
        parameters: (B, P) on the CPU, see `parameters`.
        mean: Mean of each source channel; C values if no channels were dropped.
        std: Standard deviation of each source channel.
        buffers: Memory for results on a CPU; None: new memory.

    Returns:
        Normalised float32 tensor (B, C, H, W), in the memory layout of the pixels.
    """
    reader = ViewParameters(parameters)
    if len(reader) != len(pixels):
        raise ValueError(f"got {len(pixels)} images, but parameters for {len(reader)}")
    means, stds = _statistics(reader, mean, std, pixels)
    if opencv.suits(pixels):
        return opencv.photometric(pixels, wanted(reader), means, stds, buffers or Buffers())
    keep = pixels.device.type != "mps"  # there, channels last would take longer
    layout = torch.preserve_format if keep else torch.contiguous_format
    result = torch.empty_like(pixels, dtype=torch.float32, memory_format=layout)
    chunk_size = _chunk_size(pixels)
    for number, steps in enumerate(plan(reader, chunk_size)):
        start, stop = number * chunk_size, min((number + 1) * chunk_size, len(pixels))
        # One channel after the other in memory, whatever the layout of the pixels.
        images = pixels[start:stop].to(
            torch.float32, copy=True, memory_format=torch.contiguous_format
        )
        if not pixels.is_floating_point():
            images.mul_(1 / 255)
        images = apply_steps(images, steps)
        out = result[start:stop]
        torch.sub(images, means[start:stop], out=out)
        out.div_(stds[start:stop])
    return result


def _statistics(
    reader: ViewParameters, mean: Sequence[float], std: Sequence[float], pixels: Tensor
) -> tuple[Tensor, Tensor]:
    """Return mean and std on the device, (B, C, 1, 1) each."""
    both = torch.tensor([tuple(mean), tuple(std)])  # (2, C)
    kept = reader.kept_channels()
    both = both[:, kept] if kept is not None else both[:, None].expand(-1, len(reader), -1)
    means, stds = _to_device(both, pixels.device)[..., None, None].unbind(0)
    return means, stds


def _chunk_size(pixels: Tensor) -> int:
    """Return how many images are computed together: on a CPU as many as fit into the cache."""
    if pixels.device.type == "cpu" and len(pixels):
        return max(1, _CACHED_VALUES // pixels[0].numel())
    return max(1, len(pixels))


def _to_device(tensor: Tensor, device: torch.device) -> Tensor:
    # A synchronous copy would wait for all pending work of the device.
    return tensor.to(device, non_blocking=device.type == "cuda")
