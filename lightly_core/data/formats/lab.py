"""Converts CIELab images to RGB."""

from __future__ import annotations

import functools

from PIL import Image, ImageCms

from lightly_core.data.pixels import UnreadableImage


def lab_to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image in mode LAB (white point D50) to sRGB, which `Image.convert` cannot.

    Raises:
        UnreadableImage: This Pillow was built without colour management.
    """
    shown = ImageCms.applyTransform(image, _transform())
    if shown is None:
        raise UnreadableImage("CIELab, which cannot be converted")
    return shown


@functools.cache
def _transform() -> ImageCms.ImageCmsTransform:
    try:
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    except ImportError:
        raise UnreadableImage("CIELab, which this Pillow cannot convert") from None
    return ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
