"""Composites transparent images on white, without copies of the whole image."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

#: Pixels that are processed at once, with 12 bytes of memory each in addition to the result.
_PIXELS_AT_ONCE = 1 << 20


def shown_on_white(image: Image.Image, mode: str) -> Image.Image:
    """Composite a transparent image on white.

    Memory: the image itself, the result, and a few MiB.

    Args:
        image: An image with `has_transparency_data`.
        mode: ``RGB`` or ``L``.
    """
    if image.width * image.height <= _PIXELS_AT_ONCE:
        return _part_on_white(image, mode)
    page = Image.new(mode, image.size)
    for box in _boxes(*image.size):
        page.paste(_part_on_white(image.crop(box), mode), box)
    return page


def with_plain_bands(image: Image.Image) -> Image.Image:
    """Undo palettes and premultiplied transparency, which hide the real channels."""
    if image.mode in ("P", "PA"):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode == "1":
        return image.convert("L")
    return image.convert({"RGBa": "RGBA", "La": "LA"}.get(image.mode, image.mode))


def _part_on_white(image: Image.Image, mode: str) -> Image.Image:
    layer = with_plain_bands(image).convert("RGBA")
    page = Image.new("RGBA", layer.size, (255, 255, 255, 255))
    flat = Image.alpha_composite(page, layer).convert("RGB")
    return flat if mode == "RGB" else flat.convert(mode)


def _boxes(width: int, height: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield boxes (left, top, right, bottom) that cover an image."""
    columns = min(width, _PIXELS_AT_ONCE)
    rows = min(height, max(1, _PIXELS_AT_ONCE // columns))
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            yield left, top, min(left + columns, width), min(top + rows, height)
