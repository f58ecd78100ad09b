"""Hue and blur of large images on a CPU by OpenCV, if it is installed.

They take a third to a half of the time of torch's operations. Values are float32 as there, and
differ from theirs by less than 1e-5.
"""

from __future__ import annotations

import functools
import logging
from types import ModuleType

import torch
from torch import Tensor

_LOGGER = logging.getLogger(__name__)

# For smaller images, calls for single images take longer than torch's operations on a whole chunk.
_LEAST_PIXELS = 64 * 64


def suits(images: Tensor) -> bool:
    """Return whether the functions of this module are used for images (N, C, H, W)."""
    return (
        images.device.type == "cpu"
        and images.dtype == torch.float32
        and images.shape[2] * images.shape[3] >= _LEAST_PIXELS
        and _cv2() is not None
    )


def shifted_hue(images: Tensor, shifts: Tensor) -> Tensor:
    """See `lightly_core.data.views.device.adjust_hue`; images (N, 3, H, W) on the CPU."""
    cv2 = _cv2()
    assert cv2 is not None
    result = torch.empty_like(images, memory_format=torch.contiguous_format)
    for image, shift, out in zip(images.numpy(), shifts.tolist(), result.numpy(), strict=True):
        pixels = cv2.cvtColor(cv2.merge(list(image)), cv2.COLOR_RGB2HSV)
        cv2.add(pixels, (360 * (shift % 1), 0, 0, 0), dst=pixels)
        cv2.split(cv2.cvtColor(pixels, cv2.COLOR_HSV2RGB), list(out))
    return result


def blurred(images: Tensor, sigmas: Tensor, radius: int) -> Tensor:
    """See `lightly_core.data.views.device.gaussian_blur`; images on the CPU, H and W > radius."""
    cv2 = _cv2()
    assert cv2 is not None
    images = images.contiguous()
    result = torch.empty_like(images)
    size = (2 * radius + 1, 2 * radius + 1)
    for image, sigma, out in zip(images.numpy(), sigmas.tolist(), result.numpy(), strict=True):
        for plane, target in zip(image, out, strict=True):
            cv2.GaussianBlur(plane, size, sigma, dst=target, borderType=cv2.BORDER_REFLECT_101)
    return result


@functools.cache
def _cv2() -> ModuleType | None:
    try:
        import cv2
    except ImportError:  # not installed, or it lacks a library of the system
        _LOGGER.info("Hue and blur are computed by torch. With OpenCV they take half of the time.")
        return None
    _LOGGER.info("Hue and blur are computed by OpenCV %s.", cv2.__version__)
    return cv2
