"""The interface of a collection of images, under the name that this package uses."""

from __future__ import annotations

from lightly_core.contracts.source import ImageRequest, ImageSource, Labels

__all__ = ["ImageRequest", "ImageSource", "Labels"]
